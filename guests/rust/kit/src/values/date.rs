// SPDX-License-Identifier: Apache-2.0
//! Moments: as text for the libraries of time, and a type of their own for answers.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, Serializer};

use crate::values::names::DATE;

const DAY: i64 = 86_400_000;

/// A moment: a `Date` on the other side, whose milliseconds since 1970 (UTC) these are.
///
/// Moments of `chrono`, `time` and `jiff` go back as text, since that is what they tell serde.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// assert_eq!(polyloop::Date::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1)), polyloop::Date(1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Date(pub i64);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DATE, &self.0)
    }
}

impl From<SystemTime> for Date {
    fn from(time: SystemTime) -> Self {
        let millis = |apart: Duration| i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

/// A moment as RFC 3339 has it, as JavaScript's `toISOString` writes it; `None` for a year that
/// has no such text.
pub fn text_of(millis: i64, micros: u16) -> Option<String> {
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let rest = millis.rem_euclid(DAY);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let beyond = if micros == 0 { String::new() } else { format!("{micros:03}") };
    (0..=9999).contains(&year).then(|| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}{beyond}Z", rest % 1000)
    })
}

/// Year, month and day of a day since 1970, by the Gregorian calendar: in years that begin in
/// March, so that the leap day is the last.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_the_text_that_javascript_has_for_it() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in table {
            assert_eq!(text_of(millis, 0).as_deref(), Some(text));
        }
        assert_eq!(text_of(1, 7).as_deref(), Some("1970-01-01T00:00:00.001007Z"));
        assert_eq!(text_of(253_402_300_800_000, 0), None);
        assert_eq!(text_of(-62_167_219_200_001, 0), None);
        assert_eq!(text_of(i64::MAX, 0), None);
        assert_eq!(text_of(i64::MIN, 0), None);
    }

    #[test]
    fn a_time_of_the_system_is_a_date() {
        assert_eq!(Date::from(SystemTime::UNIX_EPOCH - Duration::from_millis(5)), Date(-5));
    }
}
