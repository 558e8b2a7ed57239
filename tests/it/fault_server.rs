//! A provider that misbehaves on purpose: every fault of the network and of HTTP against what becomes of the case.
//!
//! The server plays a script, one act for each request, and the last act for all that follow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assay::config::Config;
use assay::generate::profile::Profile;
use assay::generate::request::{LlmRequest, Outcome, first_request};
use assay::generate::secrets::{Environment, SecretString, Secrets};
use assay::generate::transport::{Exchange, Transport};
use assay::generate::{ErrorClass, GenerateError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers properly with this text.
    Answer(String),
    /// Answers properly with this text, after a while.
    Late(Duration, String),
    /// Sends these bytes and closes the connection.
    Raw(Vec<u8>),
    /// Sends these bytes and resets the connection.
    Reset(Vec<u8>),
    /// Sends these bytes and goes silent.
    Hang(Vec<u8>),
    /// Sends these bytes, then this many zeros in a chunked body.
    Flood(Vec<u8>, usize),
}

/// A running server; it ends with the runtime.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT/v1`.
    pub(crate) base_url: String,
    /// Requests received.
    pub(crate) requests: Arc<AtomicUsize>,
    /// Bodies received.
    pub(crate) bodies: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let (count, seen) = (requests.clone(), bodies.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, count, seen) = (script.clone(), count.clone(), seen.clone());
                tokio::spawn(async move {
                    // A broken connection is what this server is for.
                    let _ = serve(stream, &script, &count, &seen).await;
                });
            }
        });
        Self { base_url, requests, bodies }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &[Act],
    count: &AtomicUsize,
    seen: &Mutex<Vec<Value>>,
) -> std::io::Result<()> {
    loop {
        let Some(body) = read_request(&mut stream).await? else { return Ok(()) };
        seen.lock().expect("unpoisoned").push(serde_json::from_slice(&body).unwrap_or(Value::Null));
        let number = count.fetch_add(1, Ordering::SeqCst);
        match script.get(number).or(script.last()).expect("a script") {
            Act::Answer(text) => stream.write_all(&http(200, "", &answer(text))).await?,
            Act::Late(wait, text) => {
                tokio::time::sleep(*wait).await;
                stream.write_all(&http(200, "", &answer(text))).await?;
            }
            Act::Raw(bytes) => return stream.write_all(bytes).await,
            Act::Reset(bytes) => {
                stream.write_all(bytes).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                #[expect(deprecated, reason = "a reset is what the test is about")]
                stream.set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Act::Hang(bytes) => {
                stream.write_all(bytes).await?;
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            Act::Flood(bytes, zeros) => {
                stream.write_all(bytes).await?;
                let block = vec![b'0'; 64 * 1024];
                for _ in 0..zeros / block.len() {
                    stream.write_all(format!("{:x}\r\n", block.len()).as_bytes()).await?;
                    stream.write_all(&block).await?;
                    stream.write_all(b"\r\n").await?;
                }
                return Ok(());
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let end = at + 4 + length.unwrap_or(0);
            if bytes.len() >= end {
                return Ok(Some(bytes[at + 4..end].to_vec()));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// A response with status, further header lines and body.
pub(crate) fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// A Responses body with this text.
pub(crate) fn answer(text: &str) -> String {
    json!({
        "id": "resp_1", "object": "response", "status": "completed", "model": "m-2026-01-01",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}],
        "usage": {"input_tokens": 11, "output_tokens": 7}
    })
    .to_string()
}

pub(crate) const KEY: &str = "sk-planted-0123456789abcdef";

pub(crate) fn config(base_url: &str) -> Config {
    let toml = format!(
        "[providers.fault]\nwire = \"responses\"\nbase_url = \"{base_url}\"\napi_key_env = \"FAULT_KEY\"\ntimeout_seconds = 1\nmax_attempts = 3\n"
    );
    Config::parse("assay.toml".as_ref(), &toml).expect("a configuration")
}

pub(crate) fn request() -> LlmRequest {
    let folder = tempfile::tempdir().expect("a folder");
    let (prompt, task) = super::generate::prompt_and_task(folder.path(), "fault");
    first_request(&prompt, &task)
}

async fn send(server: &Server) -> Result<Exchange, GenerateError> {
    let profile = Profile::resolve(&config(&server.base_url), "fault").expect("a provider");
    let key = SecretString::new(KEY);
    let transport = Transport::new(profile, Some(key.clone()), Secrets::new([&key])).expect("a client");
    transport.send(&request()).await
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// What a script ends with: the text, or the class of the error; and how many requests it took.
fn outcome(script: Vec<Act>) -> (Result<String, ErrorClass>, usize) {
    block_on(async {
        let server = Server::start(script).await;
        let result = tokio::time::timeout(Duration::from_secs(60), send(&server)).await.expect("it hangs");
        let result =
            result.map(|exchange| exchange.reply.text.unwrap_or_default()).map_err(|error| error.class);
        (result, server.count())
    })
}

fn ok() -> Act {
    Act::Answer("fine".to_owned())
}

fn gzip_bomb() -> Vec<u8> {
    // One stored-size header and many copies of a deflate block that stands for 258 zeros a bit or so.
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut bits = Bits::default();
    bits.push(1, 1); // last block
    bits.push(1, 2); // fixed codes
    bits.push_code(0x30 + u32::from(b' '), 8); // a literal
    for _ in 0..(64 * 1024 * 1024 / 258) {
        bits.push_code(0b1100_0101, 8); // length 258
        bits.push_code(0, 5); // distance 1
    }
    bits.push_code(0, 7); // end
    body.extend(bits.finish());
    body.extend([0; 8]); // checksum and size: never reached
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if value >> bit & 1 == 1 {
                *self.bytes.last_mut().expect("a byte") |= 1 << (self.used % 8);
            }
            self.used += 1;
        }
    }

    /// Huffman codes go in from their highest bit.
    fn push_code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.push(code >> bit & 1, 1);
        }
    }

    fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Fault, what the server does, outcome, requests it takes.
type Row = (&'static str, Vec<Act>, Result<&'static str, ErrorClass>, usize);

#[test]
fn every_fault_has_its_outcome() {
    let good = answer("fine");
    let half = http(200, "", &good)[..120].to_vec();
    let up_to = |what: &str| good[..good.find(what).expect("it is there")].to_owned();
    let (behind, inside) = (&up_to("\"usage\""), &up_to("ne\"}"));
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n".to_vec();
    let error = |code: &str| json!({"error": {"message": "x", "code": code}}).to_string();
    let now = "retry-after: 0\r\n";
    let table: Vec<Row> = vec![
        ("nothing", vec![ok()], Ok("fine"), 1),
        ("reset before the headers, once", vec![Act::Reset(Vec::new()), ok()], Ok("fine"), 2),
        ("reset after the headers, once", vec![Act::Reset(head.clone()), ok()], Ok("fine"), 2),
        ("closed without a word, once", vec![Act::Raw(Vec::new()), ok()], Ok("fine"), 2),
        ("closed in the body, once", vec![Act::Raw(half.clone()), ok()], Ok("fine"), 2),
        ("closed in the body, always", vec![Act::Raw(half)], Err(ErrorClass::Malformed), 3),
        (
            "content-length too long",
            vec![Act::Raw([head.clone(), good.clone().into_bytes()].concat()), ok()],
            Ok("fine"),
            2,
        ),
        (
            "content-length too short",
            vec![
                Act::Raw(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"output\": [1, 2, 3, 4, 5, 6, 7]}"
                        .to_vec(),
                ),
                ok(),
            ],
            Ok("fine"),
            2,
        ),
        ("no answer, once", vec![Act::Hang(Vec::new()), ok()], Ok("fine"), 2),
        ("silence after the headers, once", vec![Act::Hang(head), ok()], Ok("fine"), 2),
        ("no answer, ever", vec![Act::Hang(Vec::new())], Err(ErrorClass::Timeout), 3),
        ("HTML with 200", vec![Act::Raw(http(200, "", "<html>gateway</html>")), ok()], Ok("fine"), 2),
        ("an empty body with 200", vec![Act::Raw(http(200, "", "")), ok()], Ok("fine"), 2),
        (
            "invalid UTF-8",
            vec![
                Act::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"output\":\"\xff\"}".to_vec()),
                ok(),
            ],
            Ok("fine"),
            2,
        ),
        (
            "duplicate keys",
            vec![Act::Raw(http(200, "", "{\"output\": [], \"output\": []}")), ok()],
            Ok("fine"),
            2,
        ),
        ("NaN", vec![Act::Raw(http(200, "", "{\"output\": NaN}")), ok()], Ok("fine"), 2),
        ("malformed, always", vec![Act::Raw(http(200, "", "{\"output\": "))], Err(ErrorClass::Malformed), 3),
        ("cut off behind the answer, once", vec![Act::Raw(http(200, "", behind)), ok()], Ok("fine"), 2),
        ("cut off behind the answer, always", vec![Act::Raw(http(200, "", behind))], Ok("fine"), 3),
        (
            "cut off inside the answer, always",
            vec![Act::Raw(http(200, "", inside))],
            Err(ErrorClass::Malformed),
            3,
        ),
        (
            "a body of a gigabyte",
            vec![
                Act::Flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), 1 << 30),
                ok(),
            ],
            Ok("fine"),
            2,
        ),
        (
            "a gigabyte announced",
            vec![Act::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n".to_vec()), ok()],
            Ok("fine"),
            2,
        ),
        ("a gzip bomb", vec![Act::Raw(gzip_bomb()), ok()], Ok("fine"), 2),
        (
            "a redirect to another host",
            vec![Act::Raw(http(302, "location: http://example.com/\r\n", ""))],
            Err(ErrorClass::Config),
            1,
        ),
        (
            "429 with duplicate Retry-After",
            vec![
                Act::Raw(http(429, "retry-after: 0\r\nretry-after: 0.1\r\n", &error("rate_limit_exceeded"))),
                ok(),
            ],
            Ok("fine"),
            2,
        ),
        (
            "429 with a pause of an hour",
            vec![Act::Raw(http(429, "retry-after: 3600\r\n", &error("rate_limit_exceeded")))],
            Err(ErrorClass::RateLimited),
            1,
        ),
        (
            "429, always",
            vec![Act::Raw(http(429, now, &error("rate_limit_exceeded")))],
            Err(ErrorClass::RateLimited),
            3,
        ),
        (
            "429 without credit",
            vec![Act::Raw(http(429, now, &error("insufficient_quota")))],
            Err(ErrorClass::Quota),
            1,
        ),
        (
            "500, twice",
            vec![Act::Raw(http(500, now, "oops")), Act::Raw(http(500, now, "oops")), ok()],
            Ok("fine"),
            3,
        ),
        ("503, always", vec![Act::Raw(http(503, now, ""))], Err(ErrorClass::Overloaded), 3),
        (
            "x-should-retry: false",
            vec![Act::Raw(http(500, "x-should-retry: false\r\n", ""))],
            Err(ErrorClass::Overloaded),
            1,
        ),
        (
            "400",
            vec![Act::Raw(http(400, now, &error("missing_required_parameter")))],
            Err(ErrorClass::Config),
            1,
        ),
        ("401", vec![Act::Raw(http(401, now, &error("invalid_api_key")))], Err(ErrorClass::Auth), 1),
        ("404", vec![Act::Raw(http(404, now, ""))], Err(ErrorClass::Config), 1),
    ];
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let rows: Vec<_> = table
            .into_iter()
            .map(|(fault, script, expected, requests)| {
                (fault, expected.map(str::to_owned), requests, scope.spawn(move || outcome(script)))
            })
            .collect();
        for (fault, expected, requests, thread) in rows {
            let found = thread.join().expect("no panic");
            if found != (expected.clone(), requests) {
                wrong.push(format!("{fault}: {found:?}, expected {expected:?} after {requests}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_gzip_bomb_is_cut_at_the_limit() {
    block_on(async {
        let server = Server::start(vec![Act::Raw(gzip_bomb())]).await;
        let error = send(&server).await.expect_err("too large");
        assert_eq!(error.message, "the server's reply is larger than 8388608 bytes");
    });
}

#[test]
fn a_key_that_is_echoed_back_is_redacted() {
    block_on(async {
        let echo = format!("Incorrect API key provided: {KEY}. See");
        let body = json!({"error": {"message": echo, "code": "invalid_api_key"}}).to_string();
        let server = Server::start(vec![Act::Raw(http(401, "", &body))]).await;
        let error = send(&server).await.expect_err("401");
        assert!(!format!("{error:?}{error}").contains(KEY), "{error}");
        assert!(error.message.contains("[REDACTED]"));
        let server = Server::start(vec![Act::Answer(format!("the key is {KEY}"))]).await;
        let exchange = send(&server).await.expect("an answer");
        assert_eq!(exchange.reply.text.as_deref(), Some("the key is [REDACTED]"));
        assert_eq!(exchange.reply.outcome, Outcome::Completed);
    });
}

#[test]
fn a_burst_of_errors_is_survived_by_many_requests_at_once() {
    block_on(async {
        let mut script = vec![Act::Raw(http(500, "retry-after: 0\r\n", "")); 20];
        script.extend(vec![Act::Raw(http(429, "retry-after: 0.05\r\n", "")); 5]);
        script.push(ok());
        let server = Server::start(script).await;
        let toml = format!("[providers.fault]\nwire = \"responses\"\nbase_url = \"{}\"\n", server.base_url);
        let config = Config::parse("assay.toml".as_ref(), &toml).expect("a configuration");
        let profile = Profile::resolve(&config, "fault").expect("a provider");
        let transport = Arc::new(Transport::new(profile, None, Secrets::default()).expect("a client"));
        let request = Arc::new(request());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (transport, request) = (transport.clone(), request.clone());
            tasks.spawn(async move { transport.send(&request).await.map(|exchange| exchange.reply.text) });
        }
        while let Some(result) = tasks.join_next().await {
            assert_eq!(result.expect("no panic").expect("an answer").as_deref(), Some("fine"));
        }
        assert_eq!(server.count(), 65, "40 answers, 25 refusals, nothing sent twice");
    });
}

#[test]
fn the_key_goes_into_one_header_and_nowhere_else() {
    let environment = Environment::fixed([("FAULT_KEY", KEY)]);
    assert!(!format!("{environment:?}").contains(KEY));
    block_on(async {
        let server = Server::start(vec![ok()]).await;
        send(&server).await.expect("an answer");
        let bodies = server.bodies.lock().expect("unpoisoned");
        assert!(!bodies[0].to_string().contains(KEY));
    });
}
