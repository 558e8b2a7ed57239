//! Where an opaque macro call goes in SQL.
//!
//! A macro may stand for anything: a whole query, a relation, an expression, several columns, half a clause. Its call is
//! rendered between two marks; this pass reads the tokens around the marks and writes the call in a form that SQL has a
//! place for: `select * from m()` where a query begins, a table function after `from`, a column of its own after a complete column, a
//! condition, a type name, part of an identifier. What has no place is left out and reported.

use crate::sql::Dialect;

/// Opens an opaque call in rendered text (private use; refused in templates).
pub(super) const MARK_START: char = '\u{E0A5}';
/// Closes it.
pub(super) const MARK_END: char = '\u{E0A6}';

/// Whether a character is one of the two marks.
pub(super) fn is_mark(c: char) -> bool {
    c == MARK_START || c == MARK_END
}

/// The text without marks.
pub(super) fn strip_marks(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c)).collect()
}

/// The result of the pass.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) sql: String,
    pub(super) opaque: Vec<String>,
    pub(super) unplaced: Vec<String>,
}

/// A token of rendered text.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    /// Word, number or quoted identifier.
    Word(&'a str),
    /// String literal.
    Literal(&'a str),
    /// Operator or punctuation.
    Symbol(&'a str),
    /// White space and comments.
    Space(&'a str),
    /// An opaque call, without its marks.
    Call(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(t) | Self::Literal(t) | Self::Symbol(t) | Self::Space(t) | Self::Call(t) => t,
        }
    }

    fn is_word(self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text.eq_ignore_ascii_case(word))
    }

    fn is_any(self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    fn is_symbol(self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(text) if text == symbol)
    }
}

/// Splits rendered text. Never fails: what it does not know is a symbol of one character.
fn tokenize<'a>(text: &'a str, source: &str, dialect: Dialect) -> Vec<Token<'a>> {
    let backslash =
        matches!(dialect, Dialect::BigQuery | Dialect::Databricks | Dialect::Snowflake | Dialect::Redshift);
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, make): (usize, fn(&str) -> Token<'_>) = match first {
            MARK_START => {
                let end = rest.find(MARK_END).map_or(rest.len(), |at| at + MARK_END.len_utf8());
                let inner = &rest[MARK_START.len_utf8()..end];
                tokens.push(Token::Call(inner.trim_end_matches(MARK_END)));
                rest = &rest[end..];
                continue;
            }
            c if c.is_whitespace() => (run(rest, char::is_whitespace), |t| Token::Space(t)),
            '-' if rest.starts_with("--") => {
                let length = rest.find('\n').unwrap_or(rest.len());
                if let Some(length) = comment_before_call(&rest[..length], source) {
                    tokens.extend([Token::Space(&rest[..length]), Token::Space("\n")]);
                    rest = &rest[length..];
                    continue;
                }
                (length, |t| Token::Space(t))
            }
            '/' if dialect == Dialect::Snowflake && rest.starts_with("//") => {
                (rest.find('\n').unwrap_or(rest.len()), |t| Token::Space(t))
            }
            '#' if dialect == Dialect::BigQuery => {
                (rest.find('\n').unwrap_or(rest.len()), |t| Token::Space(t))
            }
            '/' if rest.starts_with("/*") => (comment_end(rest), |t| Token::Space(t)),
            '\'' => {
                let escapes = backslash || matches!(tokens.last(), Some(Token::Word("e" | "E")));
                (quoted(rest, '\'', escapes), |t| Token::Literal(t))
            }
            '"' => (quoted(rest, '"', backslash && dialect != Dialect::Snowflake), |t| Token::Word(t)),
            '`' => (quoted(rest, '`', false), |t| Token::Word(t)),
            '$' if rest.starts_with("$$") => {
                (rest[2..].find("$$").map_or(rest.len(), |at| at + 4), |t| Token::Literal(t))
            }
            c if is_word_char(c) => (run(rest, is_word_char), |t| Token::Word(t)),
            ':' if rest.starts_with("::") => (2, |t| Token::Symbol(t)),
            c => (c.len_utf8(), |t| Token::Symbol(t)),
        };
        tokens.push(make(&rest[..length]));
        rest = &rest[length..];
    }
    tokens
}

/// Length of a comment whose line the template ends before the call, where `{{-` or `-%}` took the end of the line away: what a macro
/// expands to begins with one of its own as a rule.
fn comment_before_call(comment: &str, source: &str) -> Option<usize> {
    let length = comment.find(MARK_START)?;
    let written = comment[..length].trim_end();
    source.lines().any(|line| line.trim_end().ends_with(written)).then_some(length)
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn run(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !is_part(c)).unwrap_or(text.len())
}

/// Length of the block comment at the start; what a call inside it holds does not end it.
fn comment_end(text: &str) -> usize {
    let mut in_call = false;
    for (at, c) in text.char_indices().skip(2) {
        if is_mark(c) {
            in_call = c == MARK_START;
        } else if !in_call && text[at..].starts_with("*/") {
            return at + 2;
        }
    }
    text.len()
}

/// Length of the quoted text at the start; a doubled quote stands for itself, a backslash escapes where the dialect says so.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut escaped = false;
    let mut chars = text.char_indices().skip(1).peekable();
    let mut in_call = false;
    while let Some((at, c)) = chars.next() {
        if is_mark(c) {
            in_call = c == MARK_START;
        } else if in_call {
            // Quotes of a call's arguments are not the literal's.
        } else if escaped {
            escaped = false;
        } else if backslash && c == '\\' {
            escaped = true;
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

/// The clause that a position belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Clause {
    /// Nothing yet: a query is expected.
    Start,
    /// Between the CTEs of a `with`.
    With,
    /// A list of expressions: select list, group by, order by, partition by, arguments.
    List,
    /// A list of tables.
    From,
    /// A condition.
    Condition,
    /// Inside parentheses of which only the content will say whether they hold a query or an expression.
    Parentheses,
    /// `over ( ... )`.
    Window,
    /// A list of bare names: `using (..)`, `* except (..)`.
    Names,
}

/// One open parenthesis (or the statement itself).
#[derive(Debug, Clone, Copy)]
struct Level {
    clause: Clause,
    /// Whether this is the inside of `cast(` and the like, where `as` is followed by a type.
    cast: bool,
    /// CASE expressions that are open.
    cases: usize,
    /// Between `distinct on` and the first item of the select list.
    distinct_on: bool,
}

impl Level {
    fn new(clause: Clause, cast: bool) -> Self {
        Self { clause, cast, cases: 0, distinct_on: false }
    }
}

const CLAUSE_WORDS: &[&str] = &[
    "select",
    "from",
    "join",
    "where",
    "having",
    "qualify",
    "on",
    "group",
    "order",
    "by",
    "limit",
    "offset",
    "union",
    "all",
    "except",
    "intersect",
    "distinct",
    "and",
    "or",
    "not",
    "in",
    "is",
    "like",
    "ilike",
    "between",
    "when",
    "then",
    "else",
    "case",
    "as",
    "with",
    "using",
    "lateral",
    "partition",
    "over",
    "filter",
    "within",
    "interval",
    "inner",
    "left",
    "right",
    "full",
    "outer",
    "cross",
    "natural",
    "exists",
    "any",
    "some",
    "recursive",
    "values",
    "rlike",
    "regexp",
    "similar",
    "escape",
    "minus",
    "window",
    "rows",
    "range",
    "preceding",
    "following",
    "set",
];

/// Puts every opaque call of `text`, which `source` was rendered to, where SQL has a place for it.
pub(super) fn place(text: &str, source: &str, dialect: Dialect) -> Placed {
    let tokens = tokenize(text, source, dialect);
    let mut placed = Placed { sql: String::with_capacity(text.len()), ..Placed::default() };
    let mut levels = vec![Level::new(Clause::Start, false)];
    // Whether the last token was a call that was written as a name.
    let mut named = false;
    // The significant tokens before the current one; a placed call counts as a word, an unplaced one not at all.
    let mut before: [Option<Token<'_>>; 2] = [None, None];
    for (i, token) in tokens.iter().copied().enumerate() {
        match token {
            Token::Space(space) => {
                // A call in a comment stays there, as a comment.
                if space.contains(MARK_START) && space.starts_with("/*") {
                    let inner = strip_marks(space).replace("*/", "~").replace("/*", "~");
                    placed.sql.push_str(&format!("/*{inner}*/"));
                } else {
                    placed.sql.push_str(&strip_marks(space));
                }
                continue;
            }
            Token::Call(call) => {
                let before_it = i.checked_sub(1).map(|at| tokens[at]);
                let is_glue = |token: Token<'_>| {
                    matches!(token, Token::Word(word) if !is_clause_word(word)) || token.is_symbol(".")
                };
                let glued_left = before_it.is_some_and(is_glue) || named;
                let glued_right = tokens[i + 1..]
                    .iter()
                    .copied()
                    .find(|token| !matches!(token, Token::Call(_)))
                    .is_some_and(is_glue);
                let fraction = i >= 2
                    && before_dot(&tokens, i)
                    && matches!(tokens[i - 2], Token::Word(word) if word.bytes().all(|b| b.is_ascii_digit()));
                let next = Next::of(&tokens[i + 1..]);
                let level = levels.last().copied().unwrap_or(Level::new(Clause::Start, false));
                let form = if fraction {
                    Form::Digits
                } else if glued_left
                    || glued_right
                    || (level.cast && before[0].is_some_and(|t| t.is_word("as")))
                {
                    Form::Identifier
                } else if is_wildcard(before) && next.token.is_some_and(|t| t.is_symbol("(")) {
                    let except = matches!(dialect, Dialect::BigQuery | Dialect::Databricks);
                    Form::Exclusion(if except { "except" } else { "exclude" })
                } else {
                    form(call, level, before, next)
                };
                named = form == Form::Identifier;
                if matches!(before_it, Some(Token::Word(word)) if is_clause_word(word)) {
                    placed.sql.push(' ');
                }
                match form.write(call) {
                    Some(sql) => {
                        placed.sql.push_str(&sql);
                        if matches!(tokens.get(i + 1), Some(Token::Word(word)) if is_clause_word(word)) {
                            placed.sql.push(' ');
                        }
                        if !matches!(form, Form::Expansion(_)) {
                            placed.opaque.push(call.to_owned());
                        }
                        let stands_for = if let Form::Exclusion(word) = form { word } else { "x" };
                        before = [Some(Token::Word(stands_for)), before[0]];
                        if let Some(level) = levels.last_mut() {
                            level.distinct_on = false;
                            level.clause = form.clause_after().unwrap_or(level.clause);
                        }
                    }
                    None => placed.unplaced.push(call.to_owned()),
                }
                continue;
            }
            Token::Literal(literal) => placed.sql.push_str(&plain(literal, '\'', &mut placed.opaque)),
            Token::Word(word) if word.starts_with(['"', '`']) => {
                placed.sql.push_str(&plain(word, word.chars().next().unwrap_or('"'), &mut placed.opaque));
            }
            other => placed.sql.push_str(other.text()),
        }
        step(&mut levels, token, before);
        before = [Some(token), before[0]];
        named = false;
    }
    placed
}

/// What follows a call: the next token, and the next that is no call.
#[derive(Debug, Clone, Copy)]
struct Next<'a> {
    token: Option<Token<'a>>,
    text: Option<Token<'a>>,
}

impl<'a> Next<'a> {
    fn of(rest: &[Token<'a>]) -> Self {
        let mut following = rest.iter().copied().filter(|t| !matches!(t, Token::Space(_)));
        let token = following.next();
        let text = token.into_iter().chain(following).find(|t| !matches!(t, Token::Call(_)));
        Self { token, text }
    }
}

fn is_clause_word(word: &str) -> bool {
    CLAUSE_WORDS.contains(&word.to_ascii_lowercase().as_str())
}

fn before_dot(tokens: &[Token<'_>], i: usize) -> bool {
    i > 0 && tokens[i - 1].is_symbol(".")
}

/// Quoted text with the calls inside it as plain characters.
fn plain(text: &str, quote: char, opaque: &mut Vec<String>) -> String {
    if !text.contains(MARK_START) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK_START) {
        out.push_str(&rest[..at]);
        let inner = &rest[at + MARK_START.len_utf8()..];
        let end = inner.find(MARK_END).unwrap_or(inner.len());
        let call = &inner[..end];
        opaque.push(call.to_owned());
        out.push_str(&call.replace([quote, '\\'], "~"));
        rest = inner.get(end..).unwrap_or("").trim_start_matches(MARK_END);
    }
    out.push_str(rest);
    out
}

/// Follows clauses and parentheses.
fn step(levels: &mut Vec<Level>, token: Token<'_>, before: [Option<Token<'_>>; 2]) {
    let previous = before[0];
    if token.is_symbol("(") || token.is_symbol("[") {
        let outer = levels.last().map_or(Clause::Start, |level| level.clause);
        let after = |words: &[&str]| previous.is_some_and(|t| t.is_any(words));
        let starts_query = after(&["as"]) || (outer == Clause::Start && previous.is_none());
        let star = before[1].is_some_and(|t| t.is_symbol("*"));
        let clause = if after(&["using"]) || star && after(&["except", "exclude"]) {
            Clause::Names
        } else if starts_query && token.is_symbol("(") {
            Clause::Start
        } else if after(&["over"]) || (outer == Clause::With && after(&["window"])) {
            Clause::Window
        } else if after(&["from", "join", "lateral", "exists", "union", "all", "except", "intersect"])
            || (outer == Clause::From && previous.is_some_and(|t| t.is_symbol(",") || t.is_symbol("(")))
        {
            Clause::Start
        } else if matches!(previous, Some(Token::Word(word)) if !is_clause_word(word)) {
            Clause::List
        } else {
            Clause::Parentheses
        };
        levels.push(Level::new(clause, after(&["cast", "try_cast", "safe_cast"])));
        return;
    }
    if token.is_symbol(")") || token.is_symbol("]") {
        if levels.len() > 1 {
            levels.pop();
        }
        return;
    }
    if token.is_symbol(";") {
        levels.truncate(1);
        levels[0] = Level::new(Clause::Start, false);
        return;
    }
    let Some(level) = levels.last_mut() else { return };
    level.distinct_on = token.is_word("on") && previous.is_some_and(|t| t.is_word("distinct"));
    let Token::Word(word) = token else { return };
    level.clause = match word.to_ascii_lowercase().as_str() {
        "case" => {
            level.cases += 1;
            return;
        }
        "end" => {
            level.cases = level.cases.saturating_sub(1);
            return;
        }
        "with" if matches!(level.clause, Clause::Start | Clause::Parentheses) => Clause::With,
        "select" => Clause::List,
        "from" if level.clause != Clause::Parentheses || previous.is_some() => Clause::From,
        "join" => Clause::From,
        "on" if level.distinct_on => return,
        "where" | "having" | "qualify" | "on" => Clause::Condition,
        // `order by` and `partition by` inside a window stay there, so that what follows a complete term becomes one more.
        "by" => Clause::List,
        "except" if previous.is_some_and(|t| t.is_symbol("*")) => return,
        "union" | "except" | "intersect" | "minus" => Clause::Start,
        _ => return,
    };
}

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Expression,
    /// One more item of a list: `, m()`.
    Item,
    /// An item followed by others: `m(),`.
    ItemBefore,
    Query,
    /// The first CTE of a query, and its WITH.
    With,
    Cte,
    /// A branch of CASE.
    When,
    /// Decimal places.
    Digits,
    Parenthesised,
    /// One more condition: `and m()`.
    And,
    Where,
    Partition,
    Identifier,
    /// The keyword between `*` and the names that it leaves out, which packages for several systems write as a macro.
    Exclusion(&'static str),
    /// The text that dbt itself would put there.
    Expansion(GroupBy),
    Nothing,
}

/// `group by 1, ..., n`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct GroupBy(u16);

impl Form {
    fn write(self, call: &str) -> Option<String> {
        Some(match self {
            Self::Expression => call.to_owned(),
            Self::Item => format!(", {call}"),
            Self::ItemBefore => format!("{call},"),
            Self::Query => format!("select * from {call}"),
            Self::Cte => format!("{} as (select * from {call})", identifier(call)),
            Self::With => format!("with {} as (select * from {call})", identifier(call)),
            Self::When => format!("when {call} then {call}"),
            Self::Digits => digits(call),
            Self::Parenthesised => format!("({call})"),
            Self::And => format!("and {call}"),
            Self::Where => format!("where {call}"),
            Self::Partition => format!("partition by {call}"),
            Self::Identifier => identifier(call),
            Self::Exclusion(word) => word.to_owned(),
            Self::Expansion(GroupBy(n)) => {
                let columns: Vec<String> = (1..=n).map(|i| i.to_string()).collect();
                format!("group by {}", columns.join(", "))
            }
            Self::Nothing => return None,
        })
    }

    fn clause_after(self) -> Option<Clause> {
        match self {
            Self::Query => Some(Clause::From),
            Self::With => Some(Clause::With),
            Self::Where => Some(Clause::Condition),
            Self::Expansion(_) | Self::Partition => Some(Clause::List),
            _ => None,
        }
    }
}

/// The call as one identifier; the arguments go in as a hash, so that different calls stay different.
fn identifier(call: &str) -> String {
    let (name, arguments) = call.split_once('(').unwrap_or((call, ")"));
    if arguments == ")" {
        return name.to_owned();
    }
    let hash = blake3::hash(arguments.as_bytes()).to_hex();
    format!("{name}__{}", &hash[..12])
}

/// The call as digits: a hash, so that different calls stay different.
fn digits(call: &str) -> String {
    let hash = blake3::hash(call.as_bytes());
    hash.as_bytes()[..6].iter().map(|byte| format!("{byte:03}")).collect()
}

/// `dbt_utils.group_by(n)` is the one macro that is a clause of its own and needs no arguments from the project.
fn group_by(call: &str) -> Option<GroupBy> {
    let arguments = call.strip_prefix("dbt_utils__group_by(")?.strip_suffix(')')?;
    let number =
        arguments.strip_prefix("jinja_kwarg('n', ").and_then(|n| n.strip_suffix(')')).unwrap_or(arguments);
    number.trim().parse::<u16>().ok().filter(|n| (1..=200).contains(n)).map(GroupBy)
}

/// Whether a term is complete after this token, so that an operator, a comma or a clause must follow.
fn completes_term(token: Token<'_>) -> bool {
    match token {
        Token::Literal(_) => true,
        Token::Word(word) => {
            let lower = word.to_ascii_lowercase();
            lower == "all" || !CLAUSE_WORDS.contains(&lower.as_str())
        }
        Token::Symbol(symbol) => matches!(symbol, ")" | "]"),
        Token::Space(_) | Token::Call(_) => false,
    }
}

/// Whether the last token is the `*` of a select list, not a product.
fn is_wildcard(before: [Option<Token<'_>>; 2]) -> bool {
    before[0].is_some_and(|t| t.is_symbol("*"))
        && before[1]
            .is_some_and(|t| t.is_any(&["select", "distinct", "all"]) || t.is_symbol(",") || t.is_symbol("."))
}

fn form(call: &str, level: Level, before: [Option<Token<'_>>; 2], next: Next<'_>) -> Form {
    let previous = before[0];
    let next_is = |words: &[&str]| next.token.is_some_and(|t| t.is_any(words));
    if let Some(group) = group_by(call)
        && previous.is_some_and(completes_term)
    {
        return Form::Expansion(group);
    }
    let starts_here = match previous {
        None => true,
        Some(t) if t.is_symbol(";") => true,
        Some(t) if t.is_any(&["union", "except", "intersect", "minus"]) => true,
        Some(t) if t.is_any(&["all", "distinct"]) => level.clause == Clause::Start,
        Some(t) if t.is_symbol("(") => level.clause == Clause::Start,
        _ => false,
    };
    if starts_here {
        // Of several macros before a query none is a query.
        let follows = |t: Token<'_>| t.is_any(&["select", "with", "from", "values"]) || t.is_symbol("(");
        return if next.text.is_some_and(follows) {
            Form::Nothing
        } else if next.token.is_some_and(|t| t.is_symbol(",")) && level.clause == Clause::Start {
            Form::With
        } else {
            Form::Query
        };
    }
    let Some(previous) = previous else { return Form::Nothing };
    if previous.is_symbol(".") || previous.is_symbol("::") || previous.is_symbol(":") {
        return Form::Identifier;
    }
    if previous.is_any(&["limit", "offset"]) {
        return Form::Digits;
    }
    if previous.is_word("values") {
        return Form::Parenthesised;
    }
    let completes = !level.distinct_on && (completes_term(previous) || is_wildcard(before));
    if level.cases > 0 && matches!(level.clause, Clause::List | Clause::Parentheses | Clause::Condition) {
        if previous.is_word("case") && next_is(&["when", "else", "end"])
            || completes && next_is(&["when", "else", "end"])
        {
            return Form::When;
        }
        if completes && next_is(&["then"]) {
            return Form::And;
        }
    }
    match level.clause {
        Clause::Start => Form::Nothing,
        Clause::Names => Form::Identifier,
        Clause::With => {
            if previous.is_symbol(",") || previous.is_any(&["with", "recursive"]) {
                Form::Cte
            } else if next_is(&["as"]) || previous.is_word("as") {
                Form::Identifier
            } else if previous.is_symbol(")") && next.text.is_none_or(|t| t.is_symbol(")")) {
                // The query that the CTEs are for.
                Form::Query
            } else {
                Form::Nothing
            }
        }
        Clause::From => {
            if previous.is_any(&["from", "join", "lateral", "only"])
                || previous.is_symbol(",")
                || previous.is_symbol("(")
            {
                Form::Expression
            } else if previous.is_word("as") {
                Form::Identifier
            } else if next_is(&["and", "or"]) {
                Form::Where
            } else {
                Form::Nothing
            }
        }
        Clause::Window => {
            if previous.is_symbol("(") {
                Form::Partition
            } else {
                Form::Nothing
            }
        }
        Clause::Condition => {
            if completes {
                Form::And
            } else if previous.is_word("in") {
                Form::Parenthesised
            } else {
                Form::Expression
            }
        }
        Clause::List | Clause::Parentheses => {
            if previous.is_word("as") {
                Form::Identifier
            } else if previous.is_word("in") {
                Form::Parenthesised
            } else if completes {
                Form::Item
            } else if next_is(&["case", "cast"]) {
                Form::ItemBefore
            } else {
                Form::Expression
            }
        }
    }
}
