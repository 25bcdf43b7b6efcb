// SPDX-License-Identifier: Apache-2.0
//! Searches folders with the crates that ripgrep is made of.

#[polyloop::guest]
mod ripgrep {
    use std::io;
    use std::path::Path;

    use grep_regex::{RegexMatcher, RegexMatcherBuilder};
    use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkFinish, SinkMatch};
    use ignore::WalkBuilder;
    use polyloop::Error;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Query {
        pattern: String,
        folder: String,
        #[serde(default)]
        ignore_case: bool,
        /// Whether to search hidden files too, and what `.gitignore` names.
        #[serde(default)]
        everything: bool,
        /// How many matches to return; all are counted.
        #[serde(default)]
        limit: usize,
    }

    #[derive(Serialize)]
    pub struct Match {
        path: String,
        line: u64,
        text: String,
    }

    #[derive(Default, Serialize)]
    pub struct Found {
        files: usize,
        /// What was read: a binary file is left at its first zero.
        bytes: u64,
        count: usize,
        matches: Vec<Match>,
    }

    /// Runs on one of the guest's threads, as long as it takes.
    pub fn search(query: &Query) -> Result<Found, Error> {
        let matcher = RegexMatcherBuilder::new()
            .case_insensitive(query.ignore_case)
            .line_terminator(Some(b'\n'))
            .build(&query.pattern)
            .map_err(|error| Error::new("bad-pattern", error.to_string()))?;
        // In the order of names, so that the same search gives the same matches.
        let files = WalkBuilder::new(&query.folder)
            .standard_filters(!query.everything)
            .sort_by_file_name(Ord::cmp)
            .build();
        let mut found = Found::default();
        for entry in files {
            let entry = entry.map_err(|error| Error::new("bad-folder", error.to_string()))?;
            if entry.file_type().is_some_and(|it| it.is_file()) {
                found.files += 1;
                search_file(entry.path(), &matcher, query.limit, &mut found)
                    .map_err(|error| Error::new("bad-file", error.to_string()))?;
            }
        }
        Ok(found)
    }

    fn search_file(path: &Path, matcher: &RegexMatcher, limit: usize, found: &mut Found) -> io::Result<()> {
        let mut searcher = SearcherBuilder::new().binary_detection(BinaryDetection::quit(0)).build();
        searcher.search_path(matcher, path, Collect { path, limit, found })
    }

    /// The searcher tells it what it finds in a file.
    struct Collect<'a> {
        path: &'a Path,
        limit: usize,
        found: &'a mut Found,
    }

    impl Sink for Collect<'_> {
        type Error = io::Error;

        fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> io::Result<bool> {
            self.found.count += 1;
            if self.found.matches.len() < self.limit {
                self.found.matches.push(Match {
                    path: self.path.display().to_string(),
                    line: line.line_number().unwrap_or(0),
                    text: String::from_utf8_lossy(line.bytes()).trim_end().to_owned(),
                });
            }
            Ok(true)
        }

        fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> io::Result<()> {
            self.found.bytes += end.byte_count();
            Ok(())
        }
    }
}
