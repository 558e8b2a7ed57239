use super::*;
use crate::suite::prompts::ToolOptions;

fn prompt() -> PromptVersion {
    let template = |text: &str| Template::parse("p.md".as_ref(), text).expect("template");
    PromptVersion {
        name: "v1".into(),
        path: "prompts/v1".into(),
        description: String::new(),
        provider: "openai".into(),
        model: "m".into(),
        max_output_tokens: 100,
        effort: None,
        system: template("For [[dialect]]. Use only:\n[[approved]]"),
        user: Some(template("Spec:\n[[spec]]")),
        sampling: Sampling::default(),
        contract: Default::default(),
        tools: ToolOptions::default(),
        examples: vec![Example {
            spec: "## Inputs\n- Trusted sources: `ref('a')`".into(),
            model_name: "x".into(),
            sql: "select 1\n".into(),
            schema_yaml: "version: 2".into(),
            tests: vec![],
            review_notes: vec![],
        }],
        extra: toml::Table::new(),
    }
}

fn task() -> Task {
    Task {
        id: "stg_orders".into(),
        spec: "[[spec]] {{ ref('b') }}".into(),
        dialect: Dialect::DuckDb,
        approved: vec![Approved::Ref("b".into())],
        project: "p".into(),
    }
}

#[test]
fn the_request_is_made_of_prompt_examples_and_spec() {
    let request = first_request(&prompt(), &task());
    assert_eq!(request.instructions, "For duckdb. Use only:\nref('b')");
    let texts: Vec<(Role, &str)> = request
        .items
        .iter()
        .map(|item| match item {
            Item::Message { role, text } => (*role, text.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        texts,
        [
            (Role::User, "Spec:\n## Inputs\n- Trusted sources: `ref('a')`"),
            (
                Role::Assistant,
                "{\"model_name\":\"x\",\"sql\":\"select 1\\n\",\"schema_yaml\":\"version: 2\",\"tests\":[],\"review_notes\":[]}"
            ),
            (Role::User, "Spec:\n[[spec]] {{ ref('b') }}"),
        ]
    );
}

#[test]
fn the_order_of_fields_and_the_cap_reach_schema_and_examples() {
    let mut prompt = prompt();
    prompt.contract.order = vec!["review_notes".into(), "sql".into()];
    prompt.contract.max_length = Some(900);
    prompt.contract.max_items = Some(20);
    let request = first_request(&prompt, &task());
    let schema = request.output.as_ref().unwrap().schema.clone();
    assert_eq!(schema["properties"]["sql"]["maxLength"], 900);
    let notes = &schema["properties"]["review_notes"];
    assert_eq!((&notes["maxItems"], &notes["items"]["maxLength"]), (&json!(20), &json!(900)));
    assert_eq!(schema["properties"]["tests"]["maxItems"], 10, "the contract's own limit is lower");
    assert_eq!(schema["properties"].as_object().unwrap().keys().next().unwrap(), "review_notes");
    let Item::Message { text, .. } = &request.items[1] else { panic!("no example") };
    assert!(text.starts_with("{\"review_notes\":[],\"sql\":"), "{text}");
}

#[test]
fn whatever_changes_the_answer_changes_the_key_and_names_its_component() {
    let (prompt, task) = (prompt(), task());
    let base = first_request(&prompt, &task);
    let key = base.key(0, 0);
    let hashes = components(&prompt, &task, &base);
    assert_eq!(first_request(&prompt, &task).key(0, 0), key, "deterministic");
    assert_ne!(base.key(1, 0), key);
    assert_ne!(base.key(0, 1), key);
    let template = |text: &str| Template::parse("p.md".as_ref(), text).expect("template");
    let mut variants: Vec<(&str, PromptVersion, Task)> = Vec::new();
    let mut vary = |part, change: &dyn Fn(&mut PromptVersion, &mut Task)| {
        let (mut prompt, mut task) = (prompt.clone(), task.clone());
        change(&mut prompt, &mut task);
        variants.push((part, prompt, task));
    };
    vary("prompt", &|prompt, _| prompt.system = template("Other. [[approved]] [[dialect]]"));
    vary("prompt", &|prompt, _| prompt.examples[0].sql.push(' '));
    vary("prompt", &|prompt, _| prompt.user = None);
    vary("spec", &|_, task| task.spec.push(' '));
    vary("spec", &|_, task| task.approved.clear());
    vary("tools", &|prompt, _| prompt.tools.mode = ToolMode::Native);
    vary("contract", &|prompt, _| prompt.contract.max_length = Some(5));
    vary("sampling", &|prompt, _| prompt.sampling.temperature = Some(0.0));
    vary("sampling", &|prompt, _| prompt.model = "n".into());
    vary("sampling", &|prompt, _| {
        prompt.extra.insert("verbosity".into(), "low".into());
    });
    for (part, prompt, task) in &variants {
        let request = first_request(prompt, task);
        assert_ne!(request.key(0, 0), key, "{part}");
        assert_eq!(hashes.changed(&components(prompt, task, &request)), [*part]);
    }
    // What does not change the answer does not change the key.
    let mut same = (prompt.clone(), task.clone());
    same.0.description = "x".into();
    same.0.provider = "gateway".into();
    same.1.project = "elsewhere".into();
    assert_eq!(first_request(&same.0, &same.1).key(0, 0), key);
}

#[test]
fn two_tool_schemas_that_differ_only_in_one_type_have_different_keys() {
    let mut request = LlmRequest { tool_mode: ToolMode::Native, ..first_request(&prompt(), &task()) };
    request.tools = tools::definitions(&["fetch_source_columns".into()]);
    let key = request.key(0, 0);
    request.tools[0].parameters["properties"]["source_name"]["type"] = "integer".into();
    assert_ne!(request.key(0, 0), key);
}

#[test]
fn the_key_is_pinned() {
    // A change of this value makes every recording stale: raise KEY_VERSION and say so in the changelog.
    insta::assert_snapshot!(first_request(&prompt(), &task()).key(0, 0));
}
