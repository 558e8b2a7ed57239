use std::collections::BTreeSet;

use super::*;
use crate::generate::request::Outcome;

fn turn(text: &str) -> Turn {
    Turn {
        key: "blake3:0".into(),
        added: vec![Added { from: "user".into(), text: "a\nb".into(), error: None }],
        reply: RecordedReply {
            outcome: Outcome::Completed,
            text: Some(text.into()),
            tool_calls: Vec::new(),
            usage: Usage::default(),
            model: Some("m-1".into()),
            response_id: None,
            system_fingerprint: None,
            service_tier: None,
        },
        meta: Meta {
            recorded_at: jiff::Timestamp::UNIX_EPOCH,
            latency_ms: 1,
            attempts: 1,
            request_id: None,
            client: "0".into(),
            cut_off: false,
        },
    }
}

fn slot(case: &str) -> Slot {
    Slot { prompt: "v1".into(), provider: "p".into(), model: "org/Model:1".into(), case: case.into() }
}

#[test]
fn any_name_is_a_safe_file_name_of_its_own() {
    let names = [
        "stg_orders",
        "Stg_Orders",
        "../x",
        "a/b",
        "a-b",
        "con",
        "nul.txt",
        "",
        ".hidden",
        "pack-0",
        "é",
        &"x".repeat(300),
    ];
    let mut slugs: Vec<String> = names.iter().map(|name| slug(name)).collect();
    assert_eq!(slugs[0], "stg_orders");
    for slug in &slugs {
        assert!(!slug.is_empty() && slug.len() <= 80 && !slug.starts_with('.'), "{slug}");
        assert!(
            slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c)),
            "{slug}"
        );
    }
    slugs.sort();
    slugs.dedup();
    assert_eq!(slugs.len(), names.len(), "two names share a file");
}

#[test]
fn packs_hold_what_the_files_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::writable(folder.path(), Secrets::default()).unwrap();
    let components = Components::default();
    for n in 0..20 {
        store
            .write_trial(&slot(&format!("case_{n}")), &components, 0, vec![turn(&format!("answer {n}"))])
            .unwrap();
    }
    let before = list(folder.path()).unwrap();
    let report = pack(folder.path()).unwrap();
    assert_eq!(report.recordings, 20);
    assert!(report.packs <= 16);
    let after = list(folder.path()).unwrap();
    let slots = |listed: &[Listed]| {
        listed.iter().map(|one| one.slot.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(slots(&before), slots(&after));
    let text = |case: &str| {
        let store = Store::read_only(folder.path());
        store.load(&slot(case)).unwrap().unwrap().trials[&0][0].reply.text.clone()
    };
    assert_eq!(text("case_7").as_deref(), Some("answer 7"));
    // What is recorded after packing lies beside the pack and counts.
    store.write_trial(&slot("case_7"), &components, 0, vec![turn("newer")]).unwrap();
    assert_eq!(text("case_7").as_deref(), Some("newer"));
    assert_eq!(verify(folder.path()), (21, Vec::new()));
    let used: BTreeSet<Slot> = [slot("case_7")].into();
    assert_eq!(prune(folder.path(), |slot| used.contains(slot), true).unwrap().len(), 19);
    assert_eq!(prune(folder.path(), |slot| used.contains(slot), false).unwrap().len(), 19);
    assert_eq!(slots(&list(folder.path()).unwrap()), used);
}

#[test]
fn a_damaged_or_foreign_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::writable(folder.path(), Secrets::default()).unwrap();
    store.write_trial(&slot("a"), &Components::default(), 0, vec![turn("x")]).unwrap();
    let path = folder.path().join(slot("a").path());
    let good = fs_err::read_to_string(&path).unwrap();
    for (text, expected) in [
        (good[..good.len() / 2].to_owned(), "it is not a recording"),
        (good.replace("\"case\": \"a\"", "\"case\": \"b\""), "it is of case `b`"),
        (good.replace("\"v\": 1", "\"v\": 9"), "it has format 9"),
        ("[".repeat(100_000), "it is not a recording"),
    ] {
        fs_err::write(&path, text).unwrap();
        let error = store.load(&slot("a")).unwrap_err();
        assert_eq!(error.class, ErrorClass::Storage);
        assert!(error.message.contains(expected) && error.message.contains("a.json"), "{error}");
        assert_eq!(verify(folder.path()).1.len(), 1);
    }
}

#[test]
fn nothing_with_a_secret_in_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::new([&super::super::secrets::SecretString::new("sk-planted-0123456789")]);
    let store = Store::writable(folder.path(), secrets).unwrap();
    let turns = vec![turn("my key is sk-planted-0123456789")];
    let error = store.write_trial(&slot("a"), &Components::default(), 0, turns.clone()).unwrap_err();
    assert!(error.message.contains("a secret would be in it"), "{error}");
    assert!(store.keep(&slot("a"), &Components::default(), 0, 0, &turns[0]).is_err());
    assert_eq!(list(folder.path()).unwrap(), []);
}
