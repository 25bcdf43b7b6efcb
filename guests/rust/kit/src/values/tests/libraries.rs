// SPDX-License-Identifier: Apache-2.0
//! What types of well-known libraries make of values, and what arrives of theirs, by serde alone.

use super::*;

const DATE: &str = r#"{"~":["d",1709210096123]}"#;
const TEXT: &str = "2024-02-29T12:34:56.123Z";

#[test]
fn chrono_reads_a_date_and_is_text() {
    use chrono::{DateTime, TimeZone, Utc};
    #[derive(Deserialize)]
    struct Millis(#[serde(with = "chrono::serde::ts_milliseconds")] DateTime<Utc>);

    let moment = Utc.timestamp_millis_opt(1_709_210_096_123).unwrap();
    assert_eq!(read::<DateTime<Utc>>(&envelope(DATE, &[])).unwrap(), moment);
    assert_eq!(read::<Millis>(&envelope(DATE, &[])).unwrap().0, moment);
    assert_eq!(written(&moment), format!("\"{TEXT}\"").into_bytes());
    refused::<DateTime<Utc>>(&envelope(r#"{"~":["n","NaN"]}"#, &[]), "floating point `NaN`");
}

#[test]
fn time_reads_a_date_by_its_modules_and_is_text() {
    use time::OffsetDateTime;
    #[derive(Deserialize, Serialize)]
    struct Text(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);
    #[derive(Deserialize)]
    struct Millis(#[serde(with = "time::serde::timestamp::milliseconds")] OffsetDateTime);

    let moment = OffsetDateTime::from_unix_timestamp_nanos(1_709_210_096_123_000_000).unwrap();
    assert_eq!(read::<Text>(&envelope(DATE, &[])).unwrap().0, moment);
    assert_eq!(read::<Millis>(&envelope(DATE, &[])).unwrap().0, moment);
    assert_eq!(written(&Text(moment)), format!("\"{TEXT}\"").into_bytes());
    // Without a module it is a form of its own, which no other side has.
    assert!(read::<OffsetDateTime>(&envelope(DATE, &[])).is_err());
}

#[test]
fn jiff_reads_a_date_and_is_text() {
    use jiff::Timestamp;
    let moment = Timestamp::from_millisecond(1_709_210_096_123).unwrap();
    assert_eq!(read::<Timestamp>(&envelope(DATE, &[])).unwrap(), moment);
    assert_eq!(written(&moment), format!("\"{TEXT}\"").into_bytes());
}

#[test]
fn uuid_reads_text_and_bytes_and_is_text() {
    use uuid::Uuid;
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let text = "\"01234567-89ab-cdef-0123-456789abcdef\"";
    assert_eq!(read::<Uuid>(text.as_bytes()).unwrap(), id);
    assert_eq!(written(&id), text.as_bytes());
    refused::<Vec<Uuid>>(br#"["x"]"#, "[0]: UUID parsing failed");
    assert_eq!(
        read::<(Uuid, u8)>(&envelope(&format!("[{text},{{\"~\":[\"i\",\"5\"]}}]"), &[])).unwrap(),
        (id, 5)
    );
}

#[test]
fn rust_decimal_reads_text_and_numbers_and_is_text() {
    use rust_decimal::Decimal;
    let price = Decimal::new(1999, 2);
    assert_eq!(read::<Decimal>(b"\"19.99\"").unwrap(), price);
    assert_eq!(read::<Decimal>(b"19.99").unwrap(), price);
    assert_eq!(read::<Decimal>(&envelope(r#"{"~":["i","1f"]}"#, &[])).unwrap(), Decimal::new(31, 0));
    assert_eq!(written(&price), b"\"19.99\"");
    refused::<Decimal>(&envelope(r#"{"~":["n","NaN"]}"#, &[]), "a Decimal type");
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_goes_there_and_back() {
    use ndarray::{Array2, ArrayD, Ix2, array};
    let matrix: Array2<f64> = array![[1.0, 2.0], [3.0, 4.0]];
    let payload = written(&NdArray::from(matrix.t().to_owned()));
    let back = read::<NdArray<'_, f64>>(&payload).unwrap();
    assert_eq!(back.data(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(back.view().into_dimensionality::<Ix2>().unwrap(), matrix.t());
    assert_eq!(ArrayD::from(back), matrix.t().into_dyn());
}
