//! Cases: one row of a CSV file each. Delimiter, byte-order mark, CRLF and quoted newlines are handled; every fault is
//! reported with file, row and column, all of them in one go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::dbt::test_syntax::TestEntry;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::sql::Dialect;

use super::spec::Approved;

const REQUIRED: [&str; 4] = ["id", "spec", "model", "golden_sql"];
const OPTIONAL: [&str; 15] = [
    "project",
    "golden_yaml",
    "unit_tests",
    "target_sql",
    "target_yaml",
    "approved",
    "required_tests",
    "grain",
    "materialized",
    "pii",
    "dialect",
    "tags",
    "cluster",
    "weight",
    "as_of",
];

/// A row as written: nothing is looked up yet. `None` is what the row leaves to spec and golden.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseRow {
    /// Where the row is.
    pub place: Place,
    /// Case id, unique over the suite.
    pub id: String,
    /// Spec file, relative to the configuration file.
    pub spec: PathBuf,
    /// Name that the model must have.
    pub model: String,
    /// Golden SQL file.
    pub golden_sql: PathBuf,
    /// Project name in the configuration.
    pub project: Option<String>,
    /// Golden schema YAML file.
    pub golden_yaml: Option<PathBuf>,
    /// File of unit tests that the model is held to, and that nobody is shown who writes it.
    pub unit_tests: Option<PathBuf>,
    /// Where the model SQL goes, relative to the project.
    pub target_sql: Option<PathBuf>,
    /// Where the schema YAML goes, relative to the project.
    pub target_yaml: Option<PathBuf>,
    /// Relations that may be read.
    pub approved: Option<Vec<Approved>>,
    /// Tests that must be declared.
    pub required_tests: Option<Vec<TestEntry>>,
    /// Columns that identify a row.
    pub grain: Option<Vec<String>>,
    /// Materialization asked for.
    pub materialized: Option<String>,
    /// Columns with personal data.
    pub pii: Option<Vec<String>>,
    /// Dialect, when it is not the project's.
    pub dialect: Option<Dialect>,
    /// Tags.
    pub tags: Vec<String>,
    /// Cluster for cluster-aware intervals.
    pub cluster: Option<String>,
    /// Weight, 1 unless given.
    pub weight: f64,
    /// Date on which the case's clock stands, `YYYY-MM-DD`.
    pub as_of: Option<String>,
    /// Other columns.
    pub metadata: BTreeMap<String, String>,
}

/// Reads one CSV file; faults go to `faults`, doubtful headers to `warnings`.
pub fn read(path: &Path, faults: &mut Diagnostics, warnings: &mut Vec<Diagnostic>) -> Vec<CaseRow> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            faults.push(
                Diagnostic::new("E_CSV_READ", format!("cannot read the cases: {}", io_reason(&error)))
                    .at(Place::file(path)),
            );
            return Vec::new();
        }
    };
    parse(path, &bytes, faults, warnings)
}

/// Parses the bytes of one CSV file; see [`read`].
pub fn parse(
    path: &Path,
    bytes: &[u8],
    faults: &mut Diagnostics,
    warnings: &mut Vec<Diagnostic>,
) -> Vec<CaseRow> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let source = String::from_utf8_lossy(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(bytes))
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes);
    let mut records = reader.byte_records();
    let header = match records.next() {
        Some(Ok(record)) => record,
        Some(Err(error)) => {
            faults.push(Diagnostic::new("E_CSV_READ", error.to_string()).at(Place::file(path)));
            return Vec::new();
        }
        None => {
            faults.push(
                Diagnostic::new("E_CSV_EMPTY", "the file is empty")
                    .at(Place::file(path))
                    .hint(format!("the first row names the columns: {}", REQUIRED.join(","))),
            );
            return Vec::new();
        }
    };
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
    if !check_header(path, &names, &source, faults, warnings) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    let mut lines = Lines { bytes, offset: 0, line: 1 };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(Diagnostic::new("E_CSV_READ", error.to_string()).at(Place::file(path)));
                break;
            }
        };
        let place = lines.place(path, &record);
        if record.len() != names.len() {
            faults.push(
                Diagnostic::new(
                    "E_CSV_RAGGED",
                    format!("the row has {} fields, the header has {}", record.len(), names.len()),
                )
                .at(place)
                .hint("quote a field that contains the delimiter"),
            );
            continue;
        }
        if let Some(row) = parse_row(&place, &names, &record, faults) {
            rows.push(row);
        }
    }
    rows
}

/// Finds the line on which a record starts, counting on from the record before. The reader's own count lags by one
/// after CRLF.
struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: usize,
}

impl Lines<'_> {
    fn place(&mut self, path: &Path, record: &csv::ByteRecord) -> Place {
        let start = record.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
        let start = start.min(self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = self.bytes.get(self.offset..start + blank).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count();
        self.offset = start + blank;
        let text = self.bytes[self.offset..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        let text = String::from_utf8_lossy(text).trim_end_matches('\r').to_owned();
        Place { path: path.to_path_buf(), line: Some(self.line), column: None, text: Some(text) }
    }
}

/// The delimiter that splits the first line most often: comma, semicolon or tab.
fn delimiter(bytes: &[u8]) -> u8 {
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|&&byte| byte == delimiter).count();
    // `max_by_key` keeps the last of equals: comma wins a tie.
    [b'\t', b';', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

fn check_header(
    path: &Path,
    names: &[String],
    source: &str,
    faults: &mut Diagnostics,
    warnings: &mut Vec<Diagnostic>,
) -> bool {
    let place = || Place::line(path, 1, source);
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|required| !names.iter().any(|name| name == required)).collect();
    for column in &missing {
        faults.push(
            Diagnostic::new("E_CSV_COLUMN", format!("column `{column}` is missing"))
                .at(place())
                .hint(format!("required columns: {}", REQUIRED.join(", "))),
        );
    }
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            faults.push(Diagnostic::new("E_CSV_COLUMN", format!("column `{name}` occurs twice")).at(place()));
        }
        let known = REQUIRED.iter().chain(&OPTIONAL);
        if !known.clone().any(|known| known == name)
            && let Some(meant) = known.clone().find(|known| is_near(known, name))
        {
            warnings.push(
                Diagnostic::new("W_CSV_COLUMN", format!("column `{name}` is kept as metadata"))
                    .at(place())
                    .hint(format!("did you mean `{meant}`?")),
            );
        }
    }
    missing.is_empty()
}

/// Whether two names differ by at most two edits.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()] <= 2 && a.len() > 3
}

fn parse_row(
    place: &Place,
    names: &[String],
    record: &csv::ByteRecord,
    faults: &mut Diagnostics,
) -> Option<CaseRow> {
    let before = faults.0.len();
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    for (index, (name, value)) in names.iter().zip(record).enumerate() {
        match std::str::from_utf8(value) {
            Ok(text) => {
                fields.insert(name, text.trim().to_owned());
            }
            Err(error) => faults.push(
                Diagnostic::new(
                    "E_CSV_UTF8",
                    format!(
                        "column `{name}` (field {}) is not UTF-8 after {} bytes",
                        index + 1,
                        error.valid_up_to()
                    ),
                )
                .at(place.clone())
                .hint("save the file as UTF-8"),
            ),
        }
    }
    if faults.0.len() > before {
        return None;
    }
    let mut take = |name: &str| fields.remove(name).filter(|text| !text.is_empty());
    let mut required = |name: &str, faults: &mut Diagnostics| {
        take(name).unwrap_or_else(|| {
            faults
                .push(Diagnostic::new("E_CSV_FIELD", format!("column `{name}` is empty")).at(place.clone()));
            String::new()
        })
    };
    let id = required("id", faults);
    let spec = PathBuf::from(required("spec", faults));
    let model = required("model", faults);
    let golden_sql = PathBuf::from(required("golden_sql", faults));
    let mut fault = |column: &str, message: String, hint: &str| {
        faults.push(
            Diagnostic::new("E_CSV_FIELD", format!("column `{column}`: {message}"))
                .at(place.clone())
                .hint(hint),
        );
    };
    let list = |text: String| -> Vec<String> {
        text.split([';', ',']).map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    };
    let approved = take("approved").map(|text| {
        text.split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .filter_map(|item| {
                let parsed = parse_approved(item);
                if parsed.is_none() {
                    fault(
                        "approved",
                        format!("`{item}` is no relation"),
                        "write `ref:model;source:source.table`",
                    );
                }
                parsed
            })
            .collect()
    });
    let required_tests = take("required_tests").map(|text| {
        text.split(';')
            .filter(|item| !item.trim().is_empty())
            .filter_map(|item| {
                TestEntry::parse_column_first(item)
                    .map_err(|error| {
                        fault("required_tests", error.to_string(), "write `column:test;column:test`");
                    })
                    .ok()
            })
            .collect()
    });
    let dialect = take("dialect").and_then(|name| {
        let dialect = Dialect::from_name(&name);
        if dialect.is_none() {
            fault(
                "dialect",
                format!("`{name}` is unknown"),
                "duckdb, snowflake, bigquery, redshift, databricks, postgres",
            );
        }
        dialect
    });
    let weight = take("weight").map_or(1.0, |text| match text.parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight >= 0.0 => weight,
        _ => {
            fault("weight", format!("`{text}` is no weight"), "a number from 0 up");
            1.0
        }
    });
    let as_of = take("as_of");
    if let Some(date) = &as_of
        && date.parse::<jiff::civil::Date>().is_err()
    {
        fault("as_of", format!("`{date}` is no date"), "YYYY-MM-DD");
    }
    let row = CaseRow {
        place: place.clone(),
        id,
        spec,
        model,
        golden_sql,
        project: take("project"),
        golden_yaml: take("golden_yaml").map(PathBuf::from),
        unit_tests: take("unit_tests").map(PathBuf::from),
        target_sql: take("target_sql").map(PathBuf::from),
        target_yaml: take("target_yaml").map(PathBuf::from),
        approved,
        required_tests,
        grain: take("grain").map(list),
        materialized: take("materialized"),
        pii: take("pii").map(list),
        dialect,
        tags: take("tags").map(list).unwrap_or_default(),
        cluster: take("cluster"),
        weight,
        as_of,
        metadata: fields
            .into_iter()
            .filter(|(name, _)| !OPTIONAL.contains(name) && !REQUIRED.contains(name))
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    };
    (faults.0.len() == before).then_some(row)
}

fn parse_approved(item: &str) -> Option<Approved> {
    let (kind, name) = item.split_once(':')?;
    let name = name.trim();
    match kind.trim() {
        "ref" if !name.is_empty() => Some(Approved::Ref(name.to_owned())),
        "source" => {
            let (source, table) = name.split_once('.')?;
            Some(Approved::Source(source.trim().to_owned(), table.trim().to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: impl AsRef<[u8]>) -> (Vec<CaseRow>, Vec<Diagnostic>, Vec<Diagnostic>) {
        let (mut faults, mut warnings) = (Diagnostics::default(), Vec::new());
        let rows = parse(Path::new("cases.csv"), text.as_ref(), &mut faults, &mut warnings);
        (rows, faults.0, warnings)
    }

    #[test]
    fn bom_crlf_semicolons_and_quoted_newlines_are_read() {
        let text = "\u{feff}id;spec;model;golden_sql;note\r\na;s.md;m;g.sql;\"two\r\nlines; one field\"\r\nb;s.md;m;g.sql;\r\n";
        let (rows, faults, _) = parse_text(text);
        assert_eq!(faults, vec![]);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].metadata["note"], "two\r\nlines; one field");
        assert_eq!(rows[1].place.line, Some(4));
    }

    #[test]
    fn all_faults_are_reported_in_one_go() {
        let text =
            b"id,spec,model,golden_sql,weight,approved\na,s,m,g\nb,,m,g,heavy,ref:x\nc,s\xff,m,g,1,model:x\n";
        let (rows, faults, _) = parse_text(text);
        assert_eq!(rows, vec![]);
        let codes: Vec<_> =
            faults.iter().map(|fault| (fault.code, fault.place.as_ref().unwrap().line)).collect();
        assert_eq!(
            codes,
            [
                ("E_CSV_RAGGED", Some(2)),
                ("E_CSV_FIELD", Some(3)),
                ("E_CSV_FIELD", Some(3)),
                ("E_CSV_UTF8", Some(4)),
            ]
        );
    }

    #[test]
    fn a_misspelt_optional_column_is_pointed_out() {
        let (rows, faults, warnings) =
            parse_text("id,spec,model,golden_sql,requierd_tests\na,s,m,g,x:unique\n");
        assert_eq!((rows.len(), faults.len()), (1, 0));
        assert_eq!(warnings[0].hint.as_deref(), Some("did you mean `required_tests`?"));
    }

    #[test]
    fn optional_columns_are_read() {
        let text = "id,spec,model,golden_sql,approved,required_tests,grain,tags,as_of\n\
            a,s,m,g,ref:x;source:a.b,k:unique;k:not_null,k,\"marts, joins\",2026-01-31\n";
        let (rows, faults, _) = parse_text(text);
        assert_eq!(faults, vec![]);
        assert_eq!(
            rows[0].approved,
            Some(vec![Approved::Ref("x".into()), Approved::Source("a".into(), "b".into())])
        );
        assert_eq!(rows[0].required_tests.as_ref().map(Vec::len), Some(2));
        assert_eq!(rows[0].tags, ["marts", "joins"]);
        assert_eq!(rows[0].as_of.as_deref(), Some("2026-01-31"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse_text(bytes);
        }

        #[test]
        fn any_text_in_a_quoted_field_is_kept(value in "[^\"\r\\s]([^\"]*[^\"\\s])?") {
            let (rows, faults, _) = parse_text(format!("id,spec,model,golden_sql,note\na,s,m,g,\"{value}\"\n"));
            proptest::prop_assert_eq!(faults.len(), 0);
            proptest::prop_assert_eq!(&rows[0].metadata["note"], &value);
        }
    }
}
