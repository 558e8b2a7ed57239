//! The one way from a case to an answer, whatever the mode: recordings, the tool loop, and providers behind it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::answers::{Answer, ToolCallRecord, Usage};
use super::error::{ErrorClass, GenerateError};
use super::profile::Profile;
use super::recordings::{self, Added, Meta, Mode, RecordedReply, Slot, Store, Turn};
use super::request::{
    Components, Item, LlmRequest, Outcome, Task, ToolCall, ToolChoice, components, first_request,
};
use super::secrets::{Environment, SecretString, Secrets};
use super::tools::{E_TIMEOUT, ToolOutput, Toolbox};
use super::transport::{Exchange, Transport};
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suite::Case;
use crate::suite::prompts::PromptVersion;

/// Gets answers. One for a whole run; shared between tasks.
#[derive(Debug)]
pub struct Generator {
    mode: Mode,
    store: Option<Store>,
    /// Empty in replay: no client exists.
    transports: BTreeMap<String, Transport>,
    secrets: Secrets,
    /// A fault that no further request can get around: nothing more is sent.
    fatal: OnceLock<GenerateError>,
    /// Answers whose body was cut off behind them.
    cut_off: AtomicUsize,
}

impl Generator {
    /// Prepares what a mode needs: in replay nothing but the folder of recordings.
    ///
    /// # Errors
    /// Unknown or wrong providers, missing keys, `auto` in CI, recordings that another process is writing: all at once.
    pub fn new(
        config: &Config,
        prompts: &[PromptVersion],
        mode: Mode,
        environment: &Environment,
    ) -> Result<Self, Diagnostics> {
        let root = config.resolve(&config.paths.recordings);
        if mode == Mode::Replay {
            return Ok(Self {
                mode,
                store: Some(Store::read_only(root)),
                transports: BTreeMap::new(),
                secrets: Secrets::default(),
                fatal: OnceLock::new(),
                cut_off: AtomicUsize::new(0),
            });
        }
        let mut faults = Diagnostics::default();
        if mode == Mode::Auto && environment.get("CI").is_some() {
            faults.push(
                Diagnostic::new(
                    "E_MODE_CI",
                    "mode `auto` would call models from CI (the variable CI is set)",
                )
                .hint("replay in CI; where calls are wanted, say so with --mode record or --mode live"),
            );
        }
        let mut profiles: BTreeMap<String, (Profile, Option<SecretString>)> = BTreeMap::new();
        for prompt in prompts {
            if profiles.contains_key(&prompt.provider) {
                continue;
            }
            match Profile::resolve(config, &prompt.provider).and_then(|profile| profile.with_key(environment))
            {
                Ok(found) => {
                    profiles.insert(prompt.provider.clone(), found);
                }
                Err(found) => found.0.into_iter().for_each(|fault| faults.push(fault)),
            }
        }
        let secrets = Secrets::new(profiles.values().filter_map(|(_, key)| key.as_ref()));
        let mut transports = BTreeMap::new();
        for (name, (profile, key)) in profiles {
            match Transport::new(profile, key, secrets.clone()) {
                Ok(transport) => {
                    transports.insert(name, transport);
                }
                Err(error) => faults.push(Diagnostic::new("E_PROVIDER_CLIENT", error.message)),
            }
        }
        let mut store = None;
        if faults.0.is_empty() && mode != Mode::Live {
            match Store::writable(root, secrets.clone()) {
                Ok(opened) => store = Some(opened),
                Err(error) => faults
                    .push(Diagnostic { hint: error.hint, ..Diagnostic::new("E_RECORDINGS", error.message) }),
            }
        }
        let (fatal, cut_off) = (OnceLock::new(), AtomicUsize::new(0));
        faults.into_result(Self { mode, store, transports, secrets, fatal, cut_off })
    }

    /// How answers are got.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The fault that ended all sending, if there was one.
    pub fn fatal(&self) -> Option<&GenerateError> {
        self.fatal.get()
    }

    /// How many of the answers so far came in bodies that were cut off behind them.
    pub fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// The secrets of this run: what must be in no file that it writes.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The answer of a prompt version to a case.
    ///
    /// # Errors
    /// Why there is none; never the model's doing. [`ErrorClass::is_fatal`] says whether other cases can do better.
    pub async fn answer(
        &self,
        case: &Case,
        prompt: &PromptVersion,
        trial: u32,
    ) -> Result<Answer, GenerateError> {
        self.answer_task(&Task::of_case(case), prompt, trial).await
    }

    /// The answer of a prompt version to a task that need not be a case.
    ///
    /// # Errors
    /// As [`Generator::answer`].
    pub async fn answer_task(
        &self,
        task: &Task,
        prompt: &PromptVersion,
        trial: u32,
    ) -> Result<Answer, GenerateError> {
        let trial = Trial { generator: self, slot: slot_of(&task.id, prompt), number: trial, prompt, task };
        let turns = match self.mode {
            Mode::Replay => trial.replay().await?,
            Mode::Auto => match trial.replay().await {
                Err(error) if matches!(error.class, ErrorClass::Missing | ErrorClass::Stale) => {
                    trial.ask().await?
                }
                found => found?,
            },
            Mode::Record | Mode::Live => trial.ask().await?,
        };
        if turns.iter().any(|turn| turn.meta.cut_off) {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer_of(&trial.slot, trial.number, &turns))
    }

    /// Ends a run that was not interrupted: see [`Store::finish`].
    ///
    /// # Errors
    /// `Storage`.
    pub fn finish(&self) -> Result<(), GenerateError> {
        self.store.as_ref().map_or(Ok(()), Store::finish)
    }
}

/// The slot of a prompt version's recording for a case.
pub fn slot_of(case: &str, prompt: &PromptVersion) -> Slot {
    Slot {
        prompt: prompt.name.clone(),
        provider: prompt.provider.clone(),
        model: prompt.model.clone(),
        case: case.to_owned(),
    }
}

/// One trial of one case with one prompt version.
struct Trial<'a> {
    generator: &'a Generator,
    slot: Slot,
    number: u32,
    prompt: &'a PromptVersion,
    task: &'a Task,
}

impl Trial<'_> {
    fn toolbox(&self) -> Toolbox {
        Toolbox::new(&self.task.project, &self.task.approved)
    }

    /// The recorded turns, if every one of them answers the request that would be sent now.
    async fn replay(&self) -> Result<Vec<Turn>, GenerateError> {
        let missing = |recording| recordings::missing(&self.slot, self.number, recording);
        let Some(store) = &self.generator.store else { return Err(missing(None)) };
        let Some(recording) = store.load(&self.slot)? else { return Err(missing(None)) };
        let Some(turns) = recording.trials.get(&self.number) else { return Err(missing(Some(&recording))) };
        let toolbox = self.toolbox();
        let mut request = first_request(self.prompt, self.task);
        let mut budget = Budget::new(self.prompt);
        for (index, turn) in turns.iter().enumerate() {
            budget.limit(&mut request, index);
            if request.key(self.number, index) != turn.key {
                let now = components(self.prompt, self.task, &first_request(self.prompt, self.task));
                return Err(recordings::stale(&self.slot, self.number, turn, &recording.components, &now));
            }
            let Some(next) = turns.get(index + 1) else { break };
            let calls = &turn.reply.tool_calls;
            request.items.push(Item::Turn { calls: calls.clone(), echo: Vec::new() });
            for (call, recorded) in calls.iter().zip(&next.added) {
                // A tool that was too slow then need not be too slow now: that much of the past is taken as it was.
                let output = match (recorded.error.as_deref(), budget.spend()) {
                    (Some(E_TIMEOUT), _) => {
                        ToolOutput { text: recorded.text.clone(), error: Some(E_TIMEOUT) }
                    }
                    (_, false) => ToolOutput::limit(),
                    (_, true) => toolbox.call(call, &request.tools).await,
                };
                request.items.push(result(call, &output));
            }
        }
        Ok(turns.clone())
    }

    /// Asks the model, turn by turn, and runs its tool calls.
    async fn ask(&self) -> Result<Vec<Turn>, GenerateError> {
        let transport = self.generator.transports.get(&self.prompt.provider).ok_or_else(|| {
            let message = format!("provider `{}` is not connected", self.prompt.provider);
            GenerateError::new(ErrorClass::Config, message)
        })?;
        let toolbox = self.toolbox();
        let mut request = first_request(self.prompt, self.task);
        let components = components(self.prompt, self.task, &request);
        let mut budget = Budget::new(self.prompt);
        let mut turns: Vec<Turn> = Vec::new();
        let mut added = vec![Added { from: "user".to_owned(), text: last_message(&request), error: None }];
        loop {
            let index = turns.len();
            budget.limit(&mut request, index);
            let (turn, echo) =
                self.turn(transport, &request, index, std::mem::take(&mut added), &components).await?;
            let calls = turn.reply.tool_calls.clone();
            let ends = turn.reply.outcome != Outcome::NeedsTools || request.tool_choice == ToolChoice::None;
            turns.push(turn);
            if ends || request.tools.is_empty() {
                break;
            }
            request.items.push(Item::Turn { calls: calls.clone(), echo });
            for call in calls {
                let output = if budget.spend() {
                    toolbox.call(&call, &request.tools).await
                } else {
                    ToolOutput::limit()
                };
                request.items.push(result(&call, &output));
                added.push(Added {
                    from: call.name,
                    text: output.text,
                    error: output.error.map(str::to_owned),
                });
            }
        }
        if let Some(store) = &self.generator.store {
            store.write_trial(&self.slot, &components, self.number, turns.clone())?;
        }
        Ok(turns)
    }

    /// One exchange: from the journal of an interrupted run, else with the model.
    async fn turn(
        &self,
        transport: &Transport,
        request: &LlmRequest,
        index: usize,
        added: Vec<Added>,
        components: &Components,
    ) -> Result<(Turn, Vec<Value>), GenerateError> {
        let key = request.key(self.number, index);
        let store = self.generator.store.as_ref();
        if let Some(turn) = store.and_then(|store| store.journaled(&self.slot, self.number, index, &key)) {
            return Ok((turn, Vec::new()));
        }
        if let Some(fatal) = self.generator.fatal.get() {
            return Err(fatal.clone());
        }
        let sent = transport.send(request).await;
        if let Err(error) = &sent
            && error.class.is_fatal()
        {
            let _ = self.generator.fatal.set(error.clone());
        }
        let Exchange { mut reply, attempts, latency, request_id, cut_off } = sent?;
        let echo = std::mem::take(&mut reply.echo);
        let meta = Meta {
            recorded_at: now(),
            latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            attempts,
            request_id,
            client: env!("CARGO_PKG_VERSION").to_owned(),
            cut_off,
        };
        let turn = Turn { key, added, reply: RecordedReply::from(reply), meta };
        if let Some(store) = store {
            store.keep(&self.slot, components, self.number, index, &turn)?;
        }
        Ok((turn, echo))
    }
}

/// Turns and tool calls that are left.
struct Budget {
    turns: usize,
    calls: usize,
}

impl Budget {
    fn new(prompt: &PromptVersion) -> Self {
        Self { turns: prompt.tools.max_turns as usize, calls: prompt.tools.max_calls as usize }
    }

    /// In the last turn, and when no call is left, the model has to answer.
    fn limit(&self, request: &mut LlmRequest, index: usize) {
        if !request.tools.is_empty() && (index + 1 >= self.turns || self.calls == 0) {
            request.tool_choice = ToolChoice::None;
        }
    }

    fn spend(&mut self) -> bool {
        let left = self.calls > 0;
        self.calls = self.calls.saturating_sub(1);
        left
    }
}

fn result(call: &ToolCall, output: &ToolOutput) -> Item {
    Item::ToolResult {
        call_id: call.call_id.clone(),
        output: output.text.clone(),
        is_error: output.error.is_some(),
    }
}

fn last_message(request: &LlmRequest) -> String {
    match request.items.last() {
        Some(Item::Message { text, .. }) => text.clone(),
        _ => String::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a recording says when its answer was given")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The answer in a trial's turns: the text of the last one, tokens and time of all.
fn answer_of(slot: &Slot, trial: u32, turns: &[Turn]) -> Answer {
    let sum = |field: fn(&Usage) -> Option<u64>| {
        turns.iter().map(|turn| field(&turn.reply.usage)).sum::<Option<u64>>()
    };
    let usage = Usage {
        input: sum(|usage| usage.input),
        cached_input: sum(|usage| usage.cached_input),
        output: sum(|usage| usage.output),
        reasoning: sum(|usage| usage.reasoning),
    };
    let mut tool_calls = Vec::new();
    for (turn, next) in turns.iter().zip(turns.iter().skip(1)) {
        for (call, result) in turn.reply.tool_calls.iter().zip(&next.added) {
            let arguments =
                serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::from(call.arguments.clone()));
            tool_calls.push(ToolCallRecord {
                name: call.name.clone(),
                arguments,
                error: result.error.clone(),
            });
        }
    }
    let last = turns.last().map(|turn| &turn.reply);
    Answer {
        case: slot.case.clone(),
        prompt: slot.prompt.clone(),
        trial,
        output_text: last.and_then(|reply| reply.text.clone()).unwrap_or_default(),
        usage: (usage != Usage::default()).then_some(usage),
        latency_ms: Some(turns.iter().map(|turn| turn.meta.latency_ms).sum()),
        tool_calls,
        finish_reason: last.map(|reply| reply.outcome.finish_reason().to_owned()),
    }
}
