//! The prompt spec: a Markdown form with five headings whose points say what is asked for. The spec drives the
//! checks: approved refs and sources, model name, grain, required tests, columns with personal data.

mod size;

use std::path::{Path, PathBuf};

use crate::dbt::test_syntax::TestEntry;
use crate::diagnostic::{Diagnostic, Place};

/// The empty form, as `assay spec new` writes it.
pub const TEMPLATE: &str = include_str!("spec_template.md");

/// A heading of the form with its points. Labelled points are filled in by the analyst; the others are fixed rules.
pub struct Section {
    /// Heading without `## `.
    pub heading: &'static str,
    /// Points of this section, in order.
    pub points: &'static [Point],
}

/// A point of the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// Intent: business question.
    BusinessQuestion,
    /// Intent: grain and time frame.
    Grain,
    /// Inputs: trusted sources.
    Sources,
    /// Inputs: dimensions and measures.
    Measures,
    /// Outputs: model name and description, with the output columns.
    Model,
    /// Outputs: required tests and documentation notes.
    Tests,
    /// Constraints: only the sources listed.
    OnlyListed,
    /// Constraints: incremental above a million rows.
    Incremental,
    /// Constraints: flag assumptions and risks.
    FlagRisks,
    /// Risks: columns with personal data.
    Pii,
    /// Risks: additional checks.
    AdditionalChecks,
}

impl Point {
    /// The label that starts the bullet; fixed rules have their first words instead.
    pub fn label(self) -> &'static str {
        match self {
            Self::BusinessQuestion => "Business question",
            Self::Grain => "Grain and time frame",
            Self::Sources => "Trusted sources",
            Self::Measures => "Dimensions/measures",
            Self::Model => "Model name and description",
            Self::Tests => "Required tests and documentation notes",
            Self::OnlyListed => "Only use existing sources",
            Self::Incremental => "Prefer incremental strategies",
            Self::FlagRisks => "Flag assumptions",
            Self::Pii => "Columns requiring PII handling",
            Self::AdditionalChecks => "Additional checks or sample queries",
        }
    }

    /// Whether the analyst must write something after the label.
    pub fn is_filled_in(self) -> bool {
        !matches!(self, Self::OnlyListed | Self::Incremental | Self::FlagRisks)
    }

    /// A case cannot be judged without these; the other points only weaken the request.
    pub fn is_required(self) -> bool {
        matches!(self, Self::BusinessQuestion | Self::Grain | Self::Sources | Self::Model)
    }
}

/// The form: five headings and their points.
pub const SECTIONS: [Section; 5] = [
    Section { heading: "Intent", points: &[Point::BusinessQuestion, Point::Grain] },
    Section { heading: "Inputs", points: &[Point::Sources, Point::Measures] },
    Section { heading: "Outputs", points: &[Point::Model, Point::Tests] },
    Section { heading: "Constraints", points: &[Point::OnlyListed, Point::Incremental, Point::FlagRisks] },
    Section { heading: "Risks and review hooks", points: &[Point::Pii, Point::AdditionalChecks] },
];

/// A relation that a model may read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approved {
    /// `ref('name')`.
    Ref(String),
    /// `source('source', 'table')`.
    Source(String, String),
}

impl std::fmt::Display for Approved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ref(name) => write!(f, "ref('{name}')"),
            Self::Source(source, table) => write!(f, "source('{source}', '{table}')"),
        }
    }
}

/// A filled-in point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which point.
    pub point: Point,
    /// Line of the bullet, from 1.
    pub line: usize,
    /// Everything after the label, continuation lines and sub-bullets included.
    pub text: String,
}

/// A parsed spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The file.
    pub path: PathBuf,
    /// Its text, byte for byte: what the model is sent.
    pub text: String,
    /// Headings found, with their lines.
    pub headings: Vec<(String, usize)>,
    /// Points found.
    pub entries: Vec<Entry>,
}

impl Spec {
    /// Parses a spec. Never fails: what is missing is reported by [`Spec::faults`].
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut headings = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut section: Option<&Section> = None;
        let mut open = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(heading) = line.strip_prefix("## ") {
                let heading = heading.trim();
                headings.push((heading.to_owned(), number));
                section = SECTIONS.iter().find(|known| known.heading.eq_ignore_ascii_case(heading));
                open = false;
                continue;
            }
            let Some(current) = section else { continue };
            if let Some(bullet) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
                let point = current.points.iter().find(|point| starts_with_label(bullet, point.label()));
                open = point.is_some();
                if let Some(&point) = point {
                    entries.push(Entry { point, line: number, text: after_label(bullet, point) });
                }
            } else if open && let Some(entry) = entries.last_mut() {
                entry.text.push('\n');
                entry.text.push_str(line);
            }
        }
        for entry in &mut entries {
            entry.text = entry.text.trim().to_owned();
        }
        Self { path: path.to_path_buf(), text: text.to_owned(), headings, entries }
    }

    /// The text of a point; empty when it is missing or not filled in.
    pub fn point(&self, point: Point) -> &str {
        self.entries.iter().find(|entry| entry.point == point).map_or("", |entry| entry.text.as_str())
    }

    /// Faults that make the spec unusable, by file, heading and line.
    pub fn faults(&self) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for section in &SECTIONS {
            let heading = self.headings.iter().find(|(name, _)| name.eq_ignore_ascii_case(section.heading));
            let Some((_, line)) = heading else {
                faults.push(
                    Diagnostic::new("E_SPEC_HEADING", format!("heading `## {}` is missing", section.heading))
                        .at(Place::file(&self.path))
                        .hint("`assay spec new` writes the form with all five headings"),
                );
                continue;
            };
            for &point in section.points.iter().filter(|point| point.is_required()) {
                let entry = self.entries.iter().find(|entry| entry.point == point);
                if entry.is_none_or(|entry| entry.text.is_empty()) {
                    let state = if entry.is_some() { "empty" } else { "missing" };
                    let place = Place::line(&self.path, entry.map_or(*line, |entry| entry.line), &self.text);
                    faults.push(
                        Diagnostic::new(
                            "E_SPEC_POINT",
                            format!("point `{}` under `## {}` is {state}", point.label(), section.heading),
                        )
                        .at(place)
                        .hint(format!("write `- {}: ...`", point.label())),
                    );
                }
            }
        }
        if let Some(entry) = self.entries.iter().find(|entry| entry.point == Point::Sources)
            && !entry.text.is_empty()
            && self.approved().is_empty()
        {
            faults.push(
                Diagnostic::new("E_SPEC_SOURCES", "no trusted source is named")
                    .at(Place::line(&self.path, entry.line, &self.text))
                    .hint("name each as `ref('model')` or `source('source', 'table')`"),
            );
        }
        faults
    }

    /// Points that are empty or missing without making the spec unusable.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut warnings = Vec::new();
        for section in &SECTIONS {
            let Some((_, line)) =
                self.headings.iter().find(|(name, _)| name.eq_ignore_ascii_case(section.heading))
            else {
                continue;
            };
            for &point in section.points.iter().filter(|point| !point.is_required()) {
                let entry = self.entries.iter().find(|entry| entry.point == point);
                let state = match entry {
                    None => "missing",
                    Some(entry) if entry.text.is_empty() && point.is_filled_in() => "empty",
                    Some(_) => continue,
                };
                warnings.push(
                    Diagnostic::new(
                        "W_SPEC_POINT",
                        format!("point `{}` under `## {}` is {state}", point.label(), section.heading),
                    )
                    .at(Place::line(
                        &self.path,
                        entry.map_or(*line, |entry| entry.line),
                        &self.text,
                    )),
                );
            }
        }
        warnings
    }

    /// The refs and sources that the spec lists under its trusted sources, in order, without repeats.
    pub fn approved(&self) -> Vec<Approved> {
        let mut approved = Vec::new();
        for (name, arguments) in calls(self.point(Point::Sources)) {
            let relation = match (name, arguments.as_slice()) {
                ("ref", [model] | [_, model]) => Approved::Ref(model.clone()),
                ("source", [source, table]) => Approved::Source(source.clone(), table.clone()),
                _ => continue,
            };
            if !approved.contains(&relation) {
                approved.push(relation);
            }
        }
        approved
    }

    /// The model's name: the first name in backticks of its point, else the first word.
    pub fn model_name(&self) -> Option<String> {
        let text = self.point(Point::Model);
        names_in_backticks(text)
            .into_iter()
            .next()
            .or_else(|| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned))
            .filter(|name| !name.is_empty())
    }

    /// Output columns that the spec names: everything in backticks under Outputs but the model's name and the tests.
    pub fn output_columns(&self) -> Vec<String> {
        let model = self.model_name();
        names_in_backticks(self.point(Point::Model))
            .into_iter()
            .filter(|name| Some(name) != model.as_ref())
            .collect()
    }

    /// Columns of the grain: the names in backticks of its point.
    pub fn grain(&self) -> Vec<String> {
        names_in_backticks(self.point(Point::Grain))
    }

    /// Required tests: the entries in backticks of their point that have the syntax of the contract.
    pub fn required_tests(&self) -> Vec<TestEntry> {
        in_backticks(self.point(Point::Tests))
            .into_iter()
            .filter_map(|text| TestEntry::parse(text).ok())
            .filter(|entry| !entry.is_sql())
            .collect()
    }

    /// Columns with personal data: the names in backticks of their point.
    pub fn pii(&self) -> Vec<String> {
        names_in_backticks(self.point(Point::Pii))
    }

    /// How the model has to be materialized: as the constraint on incremental strategies says in backticks, else
    /// `incremental` where the grain is said to have more than a million rows.
    pub fn materialized(&self) -> Option<String> {
        const KNOWN: [&str; 5] = ["view", "table", "incremental", "ephemeral", "materialized_view"];
        let named =
            in_backticks(self.point(Point::Incremental)).into_iter().find(|name| KNOWN.contains(name));
        let many = || size::exceeds(self.point(Point::Grain), 1_000_000).then_some("incremental");
        named.or_else(many).map(str::to_owned)
    }

    /// Whether any column name occurs in the spec as a word; used to find golden columns that the spec never names.
    pub fn names_column(&self, column: &str) -> bool {
        let lower = self.text.to_lowercase();
        let column = column.to_lowercase();
        lower.match_indices(&column).any(|(at, found)| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            !lower[..at].chars().next_back().is_some_and(word)
                && !lower[at + found.len()..].chars().next().is_some_and(word)
        })
    }
}

fn starts_with_label(bullet: &str, label: &str) -> bool {
    bullet.get(..label.len()).is_some_and(|start| start.eq_ignore_ascii_case(label))
}

/// The text after `Label:` or `Label (remark):`; for fixed rules the whole bullet.
fn after_label(bullet: &str, point: Point) -> String {
    if !point.is_filled_in() {
        return bullet.trim().to_owned();
    }
    let rest = &bullet[point.label().len()..];
    rest.split_once(':').map_or("", |(_, text)| text).trim().to_owned()
}

/// The pieces between single backticks.
fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|piece| !piece.is_empty()).collect()
}

/// The pieces in backticks that are plain names, without repeats.
fn names_in_backticks(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in in_backticks(text) {
        let plain = piece.chars().all(|c| c.is_alphanumeric() || c == '_');
        if plain && !names.iter().any(|name: &String| name == piece) {
            names.push(piece.to_owned());
        }
    }
    names
}

/// `name('a', "b")` calls in a text: the name and its quoted arguments.
fn calls(text: &str) -> Vec<(&str, Vec<String>)> {
    let mut found = Vec::new();
    for (open, _) in text.match_indices('(') {
        let before = text[..open].trim_end();
        let start = before
            .char_indices()
            .rev()
            .take_while(|&(_, c)| c.is_alphanumeric() || c == '_')
            .last()
            .map_or(before.len(), |(at, _)| at);
        let Some(close) = text[open..].find(')') else { continue };
        let arguments = text[open + 1..open + close]
            .split(',')
            .map(|argument| argument.trim().trim_matches(['\'', '"']).to_owned())
            .filter(|argument| !argument.is_empty())
            .collect();
        found.push((&before[start..], arguments));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "## Intent
- Business question: how full are sailings?
- Grain and time frame: one row per `sailing_id`; all time

## Inputs
- Trusted sources (dbt refs only): ref('stg_sailings'), `source(\"ferry\", 'bookings')`,
  and ref('ops', 'stg_vessels')
- Dimensions/measures: vessel; seats sold

## Outputs
- Model name and description: `sailing_load`: load by sailing. Columns: `sailing_id` key, `seats_sold` number
- Required tests and documentation notes: `unique:sailing_id`, `not_null:sailing_id`; describe every column

## Constraints
- Only use existing sources or refs listed above.
- Prefer incremental strategies when grain > 1M rows.
- Flag assumptions and potential data quality risks.

## Risks and review hooks
- Columns requiring PII handling: `email`
- Additional checks or sample queries: none
";

    #[test]
    fn a_full_spec_drives_the_checks() {
        let spec = Spec::parse(Path::new("s.md"), FULL);
        assert_eq!(spec.faults(), vec![]);
        assert_eq!(spec.warnings(), vec![]);
        assert_eq!(
            spec.approved(),
            vec![
                Approved::Ref("stg_sailings".into()),
                Approved::Source("ferry".into(), "bookings".into()),
                Approved::Ref("stg_vessels".into())
            ]
        );
        assert_eq!(spec.model_name().as_deref(), Some("sailing_load"));
        assert_eq!(spec.output_columns(), ["sailing_id", "seats_sold"]);
        assert_eq!(spec.grain(), ["sailing_id"]);
        assert_eq!(spec.pii(), ["email"]);
        assert_eq!(spec.required_tests().len(), 2);
        assert!(spec.names_column("SEATS_SOLD"));
        assert!(!spec.names_column("seats_sol"));
    }

    #[test]
    fn the_template_has_every_heading_and_point_and_each_one_is_empty() {
        let spec = Spec::parse(Path::new("spec.md"), TEMPLATE);
        assert_eq!(spec.headings.len(), 5);
        assert_eq!(spec.entries.len(), SECTIONS.iter().map(|section| section.points.len()).sum::<usize>());
        let required =
            SECTIONS.iter().flat_map(|section| section.points).filter(|point| point.is_required()).count();
        assert_eq!(spec.faults().len(), required);
    }

    #[test]
    fn missing_headings_and_sources_are_named_with_their_line() {
        let text =
            FULL.replace("## Outputs", "## Output").replace("ref('stg_sailings')", "the sailings table");
        let text = text
            .replace("`source(\"ferry\", 'bookings')`", "bookings")
            .replace("ref('ops', 'stg_vessels')", "");
        let faults = Spec::parse(Path::new("s.md"), &text).faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(faults[0].code, "E_SPEC_HEADING");
        assert_eq!(faults[1].code, "E_SPEC_SOURCES");
        assert_eq!(faults[1].place.as_ref().and_then(|place| place.line), Some(6));
    }

    #[test]
    fn the_rule_for_many_rows_is_read_off() {
        let with = |grain: &str, rule: &str| {
            let text = FULL
                .replace("all time", grain)
                .replace("grain > 1M rows.", &format!("grain > 1M rows.{rule}"));
            Spec::parse(Path::new("s.md"), &text).materialized()
        };
        assert_eq!(with("all time", ""), None);
        assert_eq!(with("all time, 40M rows", "").as_deref(), Some("incremental"));
        assert_eq!(with("under 1M rows", " Materialize as a `table`.").as_deref(), Some("table"));
        assert_eq!(
            with("40M rows", " A full refresh is wanted: `table`, see `x`.").as_deref(),
            Some("table")
        );
    }

    #[test]
    fn any_text_is_survived() {
        for text in
            ["", "## Intent", "- Business question:", "## Inputs\n- Trusted sources: ref(", "## Inputs\n- Ă"]
        {
            let spec = Spec::parse(Path::new("s.md"), text);
            assert!(!spec.faults().is_empty());
            let _ = (spec.approved(), spec.model_name(), spec.grain());
        }
    }
}
