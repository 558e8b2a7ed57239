//! What a candidate costs on each engine: `cargo bench --bench engines [-- CANDIDATES] [ENGINE]` (default 60, three rounds,
//! every engine; ENGINE is a part of its name). The project is made here: 13 models, 27 tests, some thousand rows; a
//! candidate is a mart with six tests. CPU time is that of all children and of this process, starts included; wall time is
//! with as many workers as there are cores.

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay::check::Outcome;
use assay::check::build::{BuildLimits, BuildRequest, Builder, Engines};
use assay::dbt::project::Project;
use assay::tool::environment::{Existing, ensure, v2};

const ROUNDS: usize = 3;
/// Under way at a time, as in a run.
const UNDER_WAY: usize = 16;

/// Makes engines anew for each round.
type Make<'a> = Box<dyn Fn(&Path) -> Engines + 'a>;

fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(60);
    let wanted =
        std::env::args().skip(1).find(|word| !word.starts_with('-') && word.parse::<usize>().is_err());
    let tools =
        ensure(Path::new(env!("CARGO_MANIFEST_DIR")), &Existing::default(), &|_| {}).expect("the tools");
    let rust = v2::find(Path::new(env!("CARGO_MANIFEST_DIR")));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limits = BuildLimits::default();
    let v1 = |root: &Path| Engines::v1(root, &tools, cores, &limits);
    let mut engines: Vec<(&str, Make<'_>)> =
        vec![("v1", Box::new(v1)), ("exec, compiled by v1", Box::new(|root| v1(root).with_exec(None)))];
    if let Some(rust) = &rust {
        engines.push(("v2", Box::new(|root| Engines::v2(root, &tools, rust, cores, &limits))));
        engines.push(("exec, compiled by v2", Box::new(|root| v1(root).with_exec(Some(rust)))));
    }
    engines.retain(|(name, _)| wanted.as_ref().is_none_or(|wanted| name.contains(wanted.as_str())));
    let mut out = std::io::stdout();
    let mut say = |line: String| writeln!(out, "{line}").expect("stdout");
    say(format!("{count} candidates, {cores} workers, medians of {ROUNDS} rounds"));
    for (name, engines) in engines {
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|round| measure(&engines, count, round)).collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (cpu, wall) = rounds[ROUNDS / 2];
        say(format!(
            "{name:<24} {cpu:.3} CPU s a candidate, {wall:.3} s wall, {} MiB in this process",
            memory()
        ));
    }
    if rust.is_none() {
        say("v2 is not installed: `assay doctor --install v2`".to_owned());
    }
}

/// CPU and wall seconds a candidate.
fn measure(engines: &Make<'_>, count: usize, round: usize) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_path_buf();
    write_project(&root.join("shop"));
    let engines = engines(&root);
    let builder = runtime.block_on(async {
        let project = Project::read(&root.join("shop")).expect("a project");
        Arc::new(Builder::new(&root, project, &engines, &|_| {}).await.expect("it builds"))
    });
    let (cpu, start) = (cpu_time(), Instant::now());
    runtime.block_on(async {
        let free = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
        let builds: Vec<_> = (0..count)
            .map(|n| {
                let (builder, free) = (Arc::clone(&builder), Arc::clone(&free));
                let request = candidate(round * count + n);
                tokio::spawn(async move {
                    let _permit = free.acquire_owned().await;
                    let report = builder.build(&request).await;
                    assert_eq!(report.tests.outcome, Outcome::Passed, "{report:#?}");
                    assert_eq!(report.test_outcomes.len(), 6);
                })
            })
            .collect();
        for build in builds {
            build.await.expect("built");
        }
    });
    let wall = start.elapsed().as_secs_f64();
    let used = cpu_time() - cpu;
    drop(builder);
    drop(runtime);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred candidates")]
    let count = count as f64;
    (used / count, wall / count)
}

/// CPU seconds of this process and of every process below it, alive or ended.
fn cpu_time() -> f64 {
    let mut processes: BTreeMap<u32, (u32, i64)> = BTreeMap::new();
    for entry in fs_err::read_dir("/proc").expect("Linux").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs_err::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<i64> =
            fields.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // utime, stime, and both of the children that were waited for.
        let parent = u32::try_from(fields[1]).unwrap_or(0);
        processes.insert(pid, (parent, fields[11..15].iter().sum::<i64>()));
    }
    // Workers are below `unshare`, jobs below workers.
    let own = std::process::id();
    let is_below = |mut pid: u32| {
        while pid != own {
            match processes.get(&pid) {
                Some((parent, _)) => pid = *parent,
                None => return false,
            }
        }
        true
    };
    let ticks: i64 = processes.iter().filter(|(pid, _)| is_below(**pid)).map(|(_, (_, ticks))| ticks).sum();
    Duration::from_millis(u64::try_from(ticks).unwrap_or(0) * 10).as_secs_f64()
}

/// Resident memory of this process, MiB.
fn memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn candidate(n: usize) -> BuildRequest {
    BuildRequest {
        model_name: "fct_visits".into(),
        sql_path: PathBuf::from("models/marts/fct_visits.sql"),
        sql: format!(
            "-- draft {n}\nwith lines as (\n    select visit_id, count(*) as items, sum(price) as total\n    from {{{{ ref('stg_lines') }}}} group by visit_id\n)\nselect v.visit_id, v.guest_id, v.visited_on, coalesce(l.items, 0) as items, coalesce(l.total, 0) + {n} as total\nfrom {{{{ ref('stg_visits') }}}} v left join lines l on l.visit_id = v.visit_id\n"
        ),
        yaml_path: PathBuf::from("models/marts/fct_visits.yml"),
        yaml: "models:\n  - name: fct_visits\n    columns:\n      - {name: visit_id, data_tests: [unique, not_null]}\n      - name: guest_id\n        data_tests: [not_null, {relationships: {arguments: {to: ref('stg_guests'), field: guest_id}}}]\n      - {name: visited_on, data_tests: [not_null]}\n      - {name: total, data_tests: [not_null]}\n".into(),
        remove: vec!["models/marts/fct_visits.sql".into()],
        ..BuildRequest::default()
    }
}

/// Six seeds, six staging models, seven marts, 27 tests.
fn write_project(root: &Path) {
    let write = |path: String, text: String| {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs_err::write(path, text).expect("file");
    };
    write(
        "dbt_project.yml".into(),
        "name: cafe\nprofile: cafe\nmodels:\n  cafe:\n    staging: {+materialized: view}\n    marts: {+materialized: table}\n".into(),
    );
    let rows = |header: &str, count: usize, row: &dyn Fn(usize) -> String| {
        (1..=count).fold(format!("{header}\n"), |text, n| text + &row(n) + "\n")
    };
    let day = |n: usize| format!("2026-{:02}-{:02}", n % 12 + 1, n % 28 + 1);
    let seeds = [
        ("guests", rows("guest_id,name", 200, &|n| format!("{n},Guest {n}"))),
        (
            "visits",
            rows("visit_id,guest_id,visited_on", 2000, &|n| format!("{n},{},{}", n % 200 + 1, day(n))),
        ),
        (
            "lines",
            rows("line_id,visit_id,dish_id,price", 4000, &|n| {
                format!("{n},{},{},{}", n % 1900 + 1, n % 30 + 1, n % 17 + 2)
            }),
        ),
        ("dishes", rows("dish_id,dish", 30, &|n| format!("{n},Dish {n}"))),
        ("tables", rows("table_id,seats", 40, &|n| format!("{n},{}", n % 6 + 2))),
        (
            "staff",
            rows("staff_id,role", 20, &|n| format!("{n},{}", if n % 2 == 0 { "cook" } else { "waiter" })),
        ),
    ];
    let mut yaml = "models:\n".to_owned();
    for (name, csv) in seeds {
        let key = csv.split(',').next().unwrap_or_default().to_owned();
        write(format!("seeds/raw_{name}.csv"), csv);
        write(
            format!("models/staging/stg_{name}.sql"),
            format!("select * from {{{{ ref('raw_{name}') }}}}\n"),
        );
        yaml.push_str(&format!(
            "  - name: stg_{name}\n    columns:\n      - {{name: {key}, data_tests: [unique, not_null]}}\n"
        ));
    }
    write("models/staging/staging.yml".into(), yaml);
    let marts = [
        ("fct_visits", "visit_id", "select visit_id, guest_id from {{ ref('stg_visits') }}"),
        (
            "fct_lines",
            "line_id",
            "select l.*, v.guest_id from {{ ref('stg_lines') }} l join {{ ref('stg_visits') }} v using (visit_id)",
        ),
        (
            "dim_guests",
            "guest_id",
            "select g.*, count(visit_id) as visits from {{ ref('stg_guests') }} g left join {{ ref('stg_visits') }} using (guest_id) group by all",
        ),
        ("dim_dishes", "dish_id", "select * from {{ ref('stg_dishes') }}"),
        ("dim_tables", "table_id", "select * from {{ ref('stg_tables') }}"),
        ("dim_staff", "staff_id", "select * from {{ ref('stg_staff') }}"),
        (
            "days",
            "visited_on",
            "select visited_on, count(*) as visits from {{ ref('stg_visits') }} group by all",
        ),
    ];
    let mut yaml = "models:\n".to_owned();
    for (name, key, sql) in marts {
        write(format!("models/marts/{name}.sql"), format!("{sql}\n"));
        let more = if name == "days" { "\n      - {name: visits, data_tests: [not_null]}" } else { "" };
        yaml.push_str(&format!(
            "  - name: {name}\n    columns:\n      - {{name: {key}, data_tests: [unique, not_null]}}{more}\n"
        ));
    }
    write("models/marts/marts.yml".into(), yaml);
}
