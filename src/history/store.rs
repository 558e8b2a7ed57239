//! Reading and appending `history.jsonl`.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::record::{FORMAT, HistoryRecord};

/// What can be wrong with a history file.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line was written by a later version of the program.
    #[error("{}:{line}: history format {format} is newer than {FORMAT}, the newest that this version reads", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Its format version.
        format: u32,
    },
    /// A complete line is not a record: edited by hand, or a merge conflict.
    #[error("{}:{line}: not a history record: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        cause: String,
    },
}

/// A loaded history.
#[derive(Debug, Default)]
pub struct History {
    /// Records in file order.
    pub records: Vec<HistoryRecord>,
    /// Whether the last line was cut off while it was written; it is left out.
    pub torn: bool,
}

/// Reads a history; a file that does not exist is an empty one.
///
/// # Errors
/// I/O faults, a newer format, a malformed line that is not the torn last one.
pub fn load(path: &Path) -> Result<History, HistoryError> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(History::default()),
        Err(error) => return Err(error.into()),
    };
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<History, HistoryError> {
    let mut history = History::default();
    let ends_whole = bytes.last().is_none_or(|b| *b == b'\n');
    let mut lines = bytes.split(|b| *b == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let is_last = lines.peek().is_none();
        match parse_line(path, index + 1, line) {
            Ok(record) => history.records.push(record),
            Err(HistoryError::Malformed { .. }) if is_last && !ends_whole => history.torn = true,
            Err(error) => return Err(error),
        }
    }
    Ok(history)
}

fn parse_line(path: &Path, line: usize, text: &[u8]) -> Result<HistoryRecord, HistoryError> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let malformed = |cause: serde_json::Error| HistoryError::Malformed {
        path: path.to_owned(),
        line,
        cause: cause.to_string(),
    };
    // The version first: a newer record need not have the fields of this one.
    let header: Header = serde_json::from_slice(text).map_err(malformed)?;
    if header.format > FORMAT {
        return Err(HistoryError::Newer { path: path.to_owned(), line, format: header.format });
    }
    serde_json::from_slice(text).map_err(malformed)
}

/// Appends records: under a lock, in a single write, each on its line. A torn last line is cut off first, so that the
/// file stays readable after a crash.
///
/// # Errors
/// I/O faults, and a history in a newer format, which an older program must not extend.
pub fn append(path: &Path, records: &[HistoryRecord]) -> Result<(), HistoryError> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs_err::create_dir_all(parent)?;
    }
    let mut file =
        fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.file().lock()?;
    let mut existing = Vec::new();
    file.read_to_end(&mut existing)?;
    let history = parse(path, &existing)?;

    let mut buffer = Vec::new();
    let mut end = existing.len();
    if history.torn {
        end = existing.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        file.set_len(end as u64)?;
    } else if existing.last().is_some_and(|b| *b != b'\n') {
        buffer.push(b'\n');
    }
    for record in records {
        serde_json::to_writer(&mut buffer, record).map_err(std::io::Error::from)?;
        buffer.push(b'\n');
    }
    file.seek(SeekFrom::Start(end as u64))?;
    file.write_all(&buffer)?;
    file.sync_data()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::{PromptInfo, RunInfo};

    fn record(run: &str) -> HistoryRecord {
        let run = RunInfo { id: run.into(), complete: true, ..RunInfo::default() };
        let prompt = PromptInfo { name: "v1".into(), ..PromptInfo::default() };
        let mut record = HistoryRecord::from_run(&run, &[prompt], &[]).remove(0);
        record.cases.insert("orders".into(), "f:rows".parse().unwrap());
        record
    }

    fn runs(history: &History) -> Vec<&str> {
        history.records.iter().map(|r| r.run.as_str()).collect()
    }

    #[test]
    fn what_is_appended_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reports/history.jsonl");
        assert!(load(&path).unwrap().records.is_empty());
        append(&path, &[record("1"), record("2")]).unwrap();
        append(&path, &[record("3")]).unwrap();
        let history = load(&path).unwrap();
        assert_eq!(history.records, [record("1"), record("2"), record("3")]);
        assert!(!history.torn);
        let line = fs_err::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert_eq!(
            line,
            r#"{"format":1,"run":"1","started":"1970-01-01T00:00:00Z","suite":"","suite_hash":"","prompt":"v1","prompt_hash":"","provider":"","model":"","assay":"","complete":true,"cases":{"orders":"f:rows"}}"#
        );
    }

    #[test]
    fn a_torn_last_line_is_left_out_and_cut_off_by_the_next_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        append(&path, &[record("1"), record("2")]).unwrap();
        let whole = fs_err::read(&path).unwrap();
        for cut in 1..whole.len() {
            fs_err::write(&path, &whole[..cut]).unwrap();
            let before = load(&path).unwrap();
            assert!(runs(&before).len() <= 2);
            let kept = before.records.len();
            append(&path, &[record("3")]).unwrap();
            let after = load(&path).unwrap();
            assert_eq!((after.records.len(), after.torn), (kept + 1, false), "cut at byte {cut}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_reader_and_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        append(&path, &[record("1")]).unwrap();
        let newer = "{\"format\":2,\"shape\":\"unknown\"}\n";
        fs_err::write(&path, fs_err::read_to_string(&path).unwrap() + newer).unwrap();
        let before = fs_err::read(&path).unwrap();
        assert!(matches!(load(&path), Err(HistoryError::Newer { line: 2, format: 2, .. })));
        assert!(append(&path, &[record("3")]).is_err());
        assert_eq!(fs_err::read(&path).unwrap(), before);
    }

    #[test]
    fn a_merge_conflict_is_named_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        append(&path, &[record("1")]).unwrap();
        fs_err::write(&path, fs_err::read_to_string(&path).unwrap() + "<<<<<<< HEAD\n").unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("history.jsonl:2: not a history record"));
    }

    #[test]
    fn fields_of_a_later_minor_change_are_ignored() {
        let text = serde_json::to_string(&record("1")).unwrap().replacen('{', "{\"later\":[1],", 1);
        assert_eq!(parse_line(Path::new("h"), 1, text.as_bytes()).unwrap(), record("1"));
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || append(path, &[record(&i.to_string())]).unwrap());
            }
        });
        let history = load(&path).unwrap();
        let mut seen = runs(&history);
        seen.sort_unstable();
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    }
}
