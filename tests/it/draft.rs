//! `assay draft` on the whole binary: what is written, what never is, and what git has afterwards.

use super::fault_server::{Act, KEY, Server};
use super::harness::Harness;
use super::tool;

const SQL: &str = "select order_id, status from {{ source('raw', 'orders') }}";
const YAML: &str = "version: 2\nmodels:\n  - name: stg_orders\n    columns:\n      - name: order_id\n        data_tests: [unique]\n      - name: status\n";

fn answer(change: &[(&str, &str)]) -> String {
    let mut answer = serde_json::json!({
        "model_name": "stg_orders",
        "sql": SQL,
        "schema_yaml": YAML,
        "tests": ["unique:order_id", "not_null:status", "select order_id from {{ ref('stg_orders') }} where order_id < 0"],
        "review_notes": ["Assumes one row an order.", "Status is taken as it is."],
    });
    for (field, value) in change {
        answer[*field] = (*value).into();
    }
    answer.to_string()
}

/// A folder whose only prompt version is answered by `text`, and the server that does it.
struct Folder {
    harness: Harness,
    server: Server,
    _runtime: tokio::runtime::Runtime,
}

impl Folder {
    fn new(text: String) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = runtime.block_on(Server::start(vec![Act::Answer(text)]));
        let harness = Harness::new();
        harness
            .write(
                "assay.toml",
                format!(
                    "[projects.shop]\npath = \"dbt/shop\"\ndialect = \"duckdb\"\n[providers.fault]\nwire = \"responses\"\n\
                     base_url = \"{}\"\napi_key_env = \"FAULT_KEY\"\n",
                    server.base_url
                ),
            )
            .write("prompts/v1/system.md", "Draft a dbt model.")
            .write("prompts/v1/prompt.toml", "provider = \"fault\"\nmodel = \"m\"\nsystem = \"system.md\"\n");
        Self { harness, server, _runtime: runtime }
    }

    /// Drafts with a key, and shows what a person sees, without times.
    fn draft(&self, more: &[&str]) -> String {
        let mut arguments = vec!["draft", "specs/orders.md"];
        arguments.extend(more);
        let shown = self.harness.show(&self.harness.assay_with(&arguments, &[("FAULT_KEY", KEY)]));
        without_times(&shown)
    }

    fn read(&self, path: &str) -> Option<String> {
        fs_err::read_to_string(self.harness.path(path)).ok()
    }

    fn git(&self, arguments: &[&str]) -> String {
        #[expect(clippy::disallowed_methods, reason = "the test is about git")]
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
            .args(arguments)
            .current_dir(self.harness.path("."))
            .output()
            .expect("git runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit_all(&self) {
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["config", "user.name", "a"]);
        self.git(&["config", "user.email", "a@b.c"]);
        self.harness.write(".gitignore", ".assay\nrecordings\n");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "one"]);
    }
}

fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        // `  passed  run               0.17 s  ...`
        let mut line = line.to_owned();
        if let Some(at) = line.find(" s").filter(|at| line[..*at].ends_with(|c: char| c.is_ascii_digit())) {
            let start = line[..at].rfind(' ').map_or(0, |space| space + 1);
            if line[start..at].parse::<f64>().is_ok() {
                let before = line[..start].trim_end().len();
                line.replace_range(before..at, " #");
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

const FILES: [&str; 5] = [
    "dbt/shop/models/stg_orders.sql",
    "dbt/shop/models/stg_orders.yml",
    "dbt/shop/tests/stg_orders_test_0.sql",
    "dbt/shop/tests/stg_orders_test_1.sql",
    "dbt/shop/notes/stg_orders.md",
];

#[test]
fn a_draft_is_written_replayed_and_replaced_only_when_asked() {
    let folder = Folder::new(answer(&[]));
    insta::assert_snapshot!("draft_written", folder.draft(&["--no-dbt"]));
    assert_eq!(folder.read(FILES[0]).as_deref(), Some(format!("{SQL}\n").as_str()));
    assert_eq!(folder.read(FILES[1]).as_deref(), Some(YAML));
    assert_eq!(
        folder.read(FILES[2]).as_deref(),
        Some("select status from {{ ref('stg_orders') }} where status is null\n"),
        "the test that the YAML declares is not there twice"
    );
    insta::assert_snapshot!("draft_notes", folder.read(FILES[4]).unwrap_or_default());
    insta::assert_snapshot!(
        "draft_pull_request",
        folder.read(".assay/drafts/stg_orders.md").unwrap_or_default()
    );
    // Nobody can be asked here, so nothing is replaced, and no model is called for nothing.
    let before = folder.server.count();
    fs_err::write(folder.harness.path(FILES[0]), "mine").expect("written");
    insta::assert_snapshot!("draft_exists", folder.draft(&["--no-dbt"]));
    assert_eq!((folder.read(FILES[0]).as_deref(), folder.server.count()), (Some("mine"), before));
    // The recorded answer needs neither key nor network.
    let replay = ["draft", "specs/orders.md", "--no-dbt", "--from-recording", "--force", "--json"];
    let output = folder.harness.assay(&replay);
    let text = String::from_utf8_lossy(&output.stdout);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    assert_eq!((output.status.code(), folder.server.count()), (Some(0), before));
    assert_eq!(json["ending"]["ending"], "written");
    let changes: Vec<&serde_json::Value> =
        json["files"].as_array().expect("a list").iter().map(|file| &file["change"]).collect();
    assert_eq!(changes, ["changed", "unchanged", "unchanged", "unchanged", "unchanged"]);
    assert_eq!(folder.read(FILES[0]).as_deref(), Some(format!("{SQL}\n").as_str()));
    // A draft is no case, and still not rubbish.
    let pruned = folder.harness.screen(&["recordings", "prune"]);
    assert!(pruned.contains("0 recordings removed"), "{pruned}");
    let missing =
        folder.harness.screen(&["draft", "specs/orders.md", "--no-dbt", "--force", "--from-recording=other"]);
    assert!(missing.starts_with("exit: 3") && missing.contains("leave out --from-recording"), "{missing}");
}

#[test]
fn a_later_draft_with_fewer_tests_takes_the_others_out() {
    let folder = Folder::new(answer(&[]));
    folder
        .harness
        .write("dbt/shop/tests/stg_orders_test_7.sql", "select 1")
        .write("dbt/shop/tests/stg_orders_test_x.sql", "mine");
    let shown = folder.draft(&["--no-dbt", "--force"]);
    assert!(shown.contains("removed   dbt/shop/tests/stg_orders_test_7.sql"), "{shown}");
    assert_eq!(folder.read("dbt/shop/tests/stg_orders_test_7.sql"), None);
    assert_eq!(folder.read("dbt/shop/tests/stg_orders_test_x.sql").as_deref(), Some("mine"));
}

#[test]
fn what_must_not_be_in_the_project_is_never_written() {
    let hostile = [
        ("sources", answer(&[("sql", "select * from {{ ref('secrets') }}")])),
        (
            "safety",
            answer(&[("sql", "select * from read_csv('/etc/passwd'), {{ source('raw', 'orders') }}")]),
        ),
        (
            "safety",
            answer(&[(
                "schema_yaml",
                "models: [{name: stg_orders, description: \"{{ env_var('HOME') }}\"}]",
            )]),
        ),
        ("name", answer(&[("model_name", "stg_order")])),
        ("contract", answer(&[("model_name", "../stg_orders")])),
        ("contract", format!("Here you are:\n{}", answer(&[]))),
    ];
    for (check, text) in hostile {
        let folder = Folder::new(text);
        let shown = folder.draft(&["--no-dbt"]);
        assert!(shown.starts_with("exit: 1"), "{check}: {shown}");
        assert!(shown.contains(&format!("failed  {check}")), "{check}: {shown}");
        assert!(shown.contains("nothing was written"), "{check}: {shown}");
        for path in FILES {
            assert_eq!(folder.read(path), None, "{check}: {path}");
        }
        assert_eq!(folder.read(".assay/drafts/stg_orders.md"), None);
    }
}

#[test]
fn a_fault_on_the_way_leaves_nothing_behind() {
    let folder = Folder::new(answer(&[]));
    // A file where a folder is needed.
    folder.harness.write("dbt/shop/notes", "a file");
    let shown = folder.draft(&["--no-dbt"]);
    assert!(shown.starts_with("exit: 2") && shown.contains("E_DRAFT_WRITE"), "{shown}");
    FILES[..4].iter().for_each(|path| assert_eq!(folder.read(path), None, "{path}"));
    assert!(!folder.harness.path("dbt/shop/.assay-draft").exists());
    folder.harness.remove("dbt/shop/notes");
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(elsewhere.path(), folder.harness.path("dbt/shop/notes")).expect("linked");
    let shown = folder.draft(&["--no-dbt"]);
    assert!(shown.contains("E_DRAFT_PATH") && shown.contains("symbolic link"), "{shown}");
    assert_eq!(fs_err::read_dir(elsewhere.path()).expect("a folder").count(), 0);
    FILES[..4].iter().for_each(|path| assert_eq!(folder.read(path), None, "{path}"));
}

#[test]
fn faults_in_the_request_are_named_before_a_model_is_asked() {
    let folder = Folder::new(answer(&[]));
    let spec = folder.read("specs/orders.md").expect("a spec");
    folder
        .harness
        .write("specs/orders.md", spec.replace("source('raw', 'orders')", "source('raw', 'order')"))
        .write("prompts/v2/system.md", "x")
        .write("prompts/v2/prompt.toml", "provider = \"fault\"\nmodel = \"m\"\nsystem = \"system.md\"\n");
    insta::assert_snapshot!("draft_faults", folder.draft(&[]));
    folder
        .harness
        .write("specs/orders.md", spec)
        .write("dbt/shop/models/all.yml", "models:\n  - name: stg_orders\n    columns: [{name: order_id}]\n");
    let shown = folder.draft(&["--prompt=v1"]);
    assert!(shown.contains("E_DRAFT_DESCRIBED"), "{shown}");
    folder
        .harness
        .remove("dbt/shop/models/all.yml")
        .write("dbt/shop/models/staging/stg_orders.sql", "select 1");
    let shown = folder.draft(&["--prompt=v1", "--folder=models"]);
    assert!(shown.contains("E_DRAFT_DUPLICATE") && shown.contains("models/staging"), "{shown}");
    let shown = folder.draft(&["--prompt=v1", "--folder=../models"]);
    assert!(shown.contains("exit: 2"), "{shown}");
    let shown = folder.draft(&["--prompt=v1", "--commit"]);
    assert!(shown.contains("E_DRAFT_GIT"), "{shown}");
    assert_eq!(folder.server.count(), 0);
}

#[test]
fn many_rows_need_an_incremental_model_and_a_failing_draft_is_not_committed() {
    let folder = Folder::new(answer(&[]));
    with_tools(&folder);
    let spec = folder.read("specs/orders.md").expect("a spec");
    folder.harness.write("specs/orders.md", spec.replace("all time", "all time, about 40M rows"));
    folder.commit_all();
    let shown = folder.draft(&["--commit"]);
    assert!(shown.starts_with("exit: 1"), "{shown}");
    assert!(shown.contains("materialized as view, incremental was asked for"), "{shown}");
    assert!(shown.contains("written, but not committed"), "{shown}");
    assert_eq!(folder.git(&["branch", "--list", "assist/*"]), "");
    assert!(FILES.iter().all(|path| folder.read(path).is_some()), "{shown}");
}

/// Without a golden the rows themselves say what to look at: rows that joins multiply, drop or never find, and NULLs.
#[test]
fn a_draft_shows_what_its_joins_do() {
    let sql = "select o.order_id, l.status, sum(o.amount) as total from {{ source('raw', 'orders') }} o \
               join {{ ref('lines') }} l on l.order_id = o.order_id group by o.order_id, l.status";
    let folder = Folder::new(answer(&[("sql", sql)]));
    with_tools(&folder);
    let spec = folder.read("specs/orders.md").expect("a spec");
    folder
        .harness
        .write(
            "specs/orders.md",
            spec.replace("source('raw', 'orders')", "source('raw', 'orders'), ref('lines')")
                .replace("`status`", "`status`, `total`"),
        )
        .write("dbt/shop/seeds/orders.csv", "order_id,amount\n1,10\n2,20\n3,30\n4,40\n")
        .write("dbt/shop/seeds/lines.csv", "order_id,status\n1,open\n1,open\n2,\n9,open\n");
    let shown = folder.draft(&[]);
    for line in [
        "what is summed or counted of the left side counts more than once: orders is joined with lines on order_id, of which 1 value has several rows: 1 (2 rows)",
        "rows without a partner are dropped: orders is joined with lines on order_id, 2 values without one: 3, 4",
        "NULL, of 2 rows: status in 1",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let text = folder.read(".assay/drafts/stg_orders.md").expect("the text of the pull request");
    assert!(text.contains("- rows: rows without a partner are dropped: "), "{text}");
}

/// Nobody knows what the request accepts: rows that are lost are shown.
#[test]
fn a_draft_shows_which_late_rows_it_loses() {
    let sql = "{{ config(materialized='incremental', unique_key='order_id') }}\n\
               select order_id, status, day from {{ source('raw', 'orders') }}\n\
               {% if is_incremental() %}where day > (select max(day) from {{ this }}){% endif %}";
    let folder = Folder::new(answer(&[("sql", sql)]));
    with_tools(&folder);
    folder.harness.write(
        "dbt/shop/seeds/orders.csv",
        "order_id,status,day\n1,open,2026-01-01\n2,open,2026-01-02\n3,open,2026-01-03\n4,open,2026-01-04\n",
    );
    let shown = folder.draft(&[]);
    assert!(shown.starts_with("exit: 0"), "{shown}");
    // The third is the mark, and the fourth is put to it.
    let lost = "after rows of raw.orders arrived late (by `day`: 0 newer than the high-water mark, 1 at it, 1 older) \
                2 rows that a full build has are missing: order_id = 2, order_id = 3";
    assert!(shown.contains("passed  idempotent") && shown.contains(lost), "{shown}");
}

/// The tools of all tests, so that none is installed for this folder.
fn with_tools(folder: &Folder) {
    let tools = tool::tools();
    let config = folder.read("assay.toml").expect("a configuration");
    let bin = tools.python.parent().expect("a folder").join("dbt");
    folder.harness.write(
        "assay.toml",
        format!("{config}[tools]\ndbt = \"{}\"\nduckdb = \"{}\"\n", bin.display(), tools.duckdb.display()),
    );
}

#[test]
fn a_commit_goes_to_a_branch_of_its_own_and_leaves_the_work_tree_alone() {
    let folder = Folder::new(answer(&[]));
    with_tools(&folder);
    folder.commit_all();
    folder.harness.write("README.md", "in progress");
    folder.git(&["add", "README.md"]);
    let before = (folder.git(&["status", "--porcelain"]), folder.git(&["rev-parse", "HEAD"]));
    let shown = folder.draft(&["--commit"]);
    let commit = folder.git(&["rev-parse", "assist/stg_orders"]);
    insta::assert_snapshot!("draft_committed", shown.replace(&commit[..10.min(commit.len())], "[commit]"));
    assert_eq!((folder.git(&["status", "--porcelain"]), folder.git(&["rev-parse", "HEAD"])), before);
    assert_eq!(folder.git(&["diff", "--name-only", "main", "assist/stg_orders"]), {
        let mut files = FILES.to_vec();
        files.sort_unstable();
        files.join("\n")
    });
    assert_eq!(folder.git(&["log", "-1", "--format=%s", "assist/stg_orders"]), "Draft stg_orders");
    let again = folder.draft(&["--commit"]);
    assert!(again.contains("E_DRAFT_BRANCH") && again.contains("--force adds a commit"), "{again}");
    folder.harness.write("dbt/shop/models/stg_orders.sql", "select 1");
    let dirty = folder.draft(&["--commit", "--force"]);
    assert!(dirty.contains("E_DRAFT_DIRTY"), "{dirty}");
    folder.harness.remove("dbt/shop/models/stg_orders.sql");
    folder.git(&["checkout", "-q", "assist/stg_orders"]);
    let current = folder.draft(&["--commit", "--force"]);
    assert!(current.contains("is checked out"), "{current}");
}
