//! The assistant for other programs: its tools by the Model Context Protocol, and what a provider honours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::fault_server::{Act, KEY, Server, http};
use super::harness::Harness;

/// A scripted client of `assay tools serve`.
struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    fn start(harness: &Harness, more: &[&str]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests start the binary")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(["tools", "serve"])
            .args(more)
            .current_dir(harness.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut client = Self { child, input, output, next: 0 };
        let hello = client.ask(
            "initialize",
            &json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "assay", "{hello}");
        assert!(hello["result"]["capabilities"]["tools"].is_object(), "{hello}");
        client.line(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        client
    }

    fn line(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// Sends a request and waits for its answer, whatever else comes before.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let id = self.next;
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("readable") > 0, "no answer to {method}");
            let answer: Value =
                serde_json::from_str(&line).expect("JSON and nothing else on standard output");
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// The text of a tool's result, and whether it is an error.
    fn call(&mut self, name: &str, arguments: &Value) -> (String, bool) {
        let answer = self.ask("tools/call", &json!({"name": name, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
        (text.to_owned(), result["isError"] == true)
    }

    fn end(mut self) {
        drop(self.input);
        assert_eq!(self.child.wait().expect("ended").code(), Some(0));
    }
}

#[test]
fn an_agent_uses_the_tools_by_the_protocol() {
    let harness = Harness::new();
    harness.write("dbt/shop/models/stg_customers.sql", "select 1 as id");
    let mut client = Client::start(&harness, &[]);
    let listed = client.ask("tools/list", &json!({}));
    let tools = listed["result"]["tools"].as_array().expect("tools").clone();
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["list_models", "fetch_source_columns"]);
    assert!(tools.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true), "{listed}");
    assert_eq!(tools[1]["inputSchema"]["required"], json!(["source_name", "table_name"]));
    assert_eq!(client.call("list_models", &json!({})), ("[\"orders\",\"stg_customers\"]".to_owned(), false));
    let table = json!({"source_name": "raw", "table_name": "orders"});
    let (columns, failed) = client.call("fetch_source_columns", &table);
    let columns: Value = serde_json::from_str(&columns).expect("JSON");
    assert_eq!(
        (&columns[0]["name"], &columns[0]["data_type"], failed),
        (&json!("order_id"), &json!("integer"), false)
    );
    // Whatever an agent sends is answered, with a code that it can read, and the conversation goes on.
    for (name, arguments, code) in [
        (
            "fetch_source_columns",
            json!({"source_name": "raw", "table_name": "../../etc/passwd"}),
            "E_NOT_FOUND",
        ),
        ("fetch_source_columns", json!({"source_name": 1}), "E_BAD_ARGS"),
        ("list_models", json!({"path": "/"}), "E_BAD_ARGS"),
        ("drop_table", json!({}), "E_UNKNOWN_TOOL"),
        ("list", json!({}), "E_UNKNOWN_TOOL"),
    ] {
        let (text, failed) = client.call(name, &arguments);
        let error: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((error["error"].as_str(), failed), (Some(code), true), "{name}");
    }
    for line in
        ["not json", "[]", "{\"jsonrpc\":\"2.0\",\"id\":77}", "{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}"]
    {
        client.line(line);
    }
    client.line(&"x".repeat(3 << 20));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    client.line(&format!("{{\"jsonrpc\":\"2.0\",\"id\":78,\"method\":\"tools/call\",\"params\":{deep}}}"));
    assert!(client.ask("no/such", &json!({}))["error"].is_object());
    assert_eq!(client.call("list_models", &json!({})).0, "[\"orders\",\"stg_customers\"]");
    client.end();
    let mut client = Client::start(&harness, &["--dbt-names", "--spec", "specs/orders.md"]);
    let (text, failed) = client.call("list", &json!({}));
    assert!(failed && text.contains("E_EMPTY"), "the spec approves no model: {text}");
    assert!(!client.call("get_node_details_dev", &table).1);
    client.end();
}

fn body(value: &Value) -> Act {
    Act::Raw(http(200, "connection: close\r\n", &value.to_string()))
}

fn reply(status: &str, output: &Value, tokens: u64) -> Act {
    body(
        &json!({"status": status, "model": "m-1", "output": [output], "usage": {"input_tokens": 9, "output_tokens": tokens}}),
    )
}

fn says(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

/// What `assay doctor --provider` shows for a server that plays this script.
fn doctor(script: Vec<Act>) -> (String, usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::start(script));
    let harness = Harness::new();
    harness.write(
        "assay.toml",
        format!(
            "[providers.fault]\nwire = \"responses\"\nbase_url = \"{}\"\napi_key_env = \"FAULT_KEY\"\n",
            server.base_url
        ),
    );
    let arguments = ["doctor", "--provider", "fault", "--model", "m"];
    let shown = harness.show(&harness.assay_with(&arguments, &[("FAULT_KEY", KEY)]));
    assert!(!shown.contains(KEY), "{shown}");
    (shown.replace(&server.base_url, "[server]"), server.count())
}

#[test]
fn doctor_says_what_a_server_honours() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "read_gauge", "arguments": "{\"harbour\":\"Emden\"}"});
    let good = [
        Act::Raw(http(200, "connection: close\r\nx-ratelimit-limit-requests: 10\r\n", &json!({"status": "completed", "model": "m-1", "output": [says("yes")], "usage": {"input_tokens": 9, "output_tokens": 1}}).to_string())),
        reply("completed", &says("{\"zq7_kestrel\":\"heron\"}"), 9),
        body(&json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [says("one two")]})),
        reply("completed", &call("c1"), 9),
        reply("completed", &says("yes"), 1),
        Act::Raw(http(400, "connection: close\r\n", "{\"error\":{\"message\":\"max_output_tokens must be a number\"}}")),
    ];
    let (shown, requests) = doctor(good.to_vec());
    insta::assert_snapshot!("doctor_good", shown);
    assert_eq!(requests, 6);
    let bad = vec![
        Act::Raw(http(
            200,
            "connection: close\r\nx-ratelimit-limit-requests: -1\r\n",
            &json!({"output": [says("yes")]}).to_string(),
        )),
        reply("completed", &says("{\"answer\": 1}"), 9),
        reply("completed", &says("one two three"), 500),
        reply("completed", &says("I cannot know."), 9),
        Act::Raw(http(
            400,
            "connection: close\r\n",
            "{\"error\":{\"message\":\"no\",\"param\":\"temperature\"}}",
        )),
        reply("completed", &says("yes"), 1),
    ];
    insta::assert_snapshot!("doctor_bad", doctor(bad).0);
}

#[test]
fn doctor_stops_where_no_answer_can_be_got_and_keeps_the_key_to_itself() {
    let echo = format!("{{\"error\":{{\"message\":\"wrong key {KEY}\"}}}}");
    let (shown, requests) = doctor(vec![Act::Raw(http(401, "connection: close\r\n", &echo))]);
    insta::assert_snapshot!("doctor_auth", shown);
    assert_eq!(requests, 1);
    let (shown, requests) = doctor(vec![Act::Raw(http(200, "connection: close\r\n", "<html>hello</html>"))]);
    assert!(shown.contains("HTML instead of JSON") && shown.contains("`base_url` ends before"), "{shown}");
    assert_eq!(requests, 1);
}
