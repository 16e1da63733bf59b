//! The language of plan scripts. A line is a word and what follows it, split as a shell does; `#` begins a comment.
//!
//! ```text
//! policy [manual] [overcommit=150] [allow-mass-delete]
//! manifest none                        no valid manifest yet
//! engine down="message"                the engine does not answer
//! host "16 GB" | unknown               its memory (default 64 GB)
//! declare NAME:LINE KEY=VALUE…         a service of the manifest (keys.rs)
//! service NAME KEY=VALUE…              a service that exists: the keys are what is applied; and commit=aaa current=7|none
//!                                      contents=TREE running=1 target=N managed paused=alice failed="…" delete-failed="…"
//!                                      class=stalled|retry updated=10s
//! instance NAME INDEX WORD…            changes or adds one: gone exited="…" unhealthy="…" drift="…" unknown frozen
//!                                      starting retiring old-operation operation revision=6 age=10s
//! operation NAME KIND KEY=VALUE…       in flight: step=build commit=bbb spec=applied|declared cancelled in-place rollback
//! held NAME COMMIT why=failed spec=declared|applied|any message="…"
//! heals NAME 10s 5s                    how long ago it was healed
//! head NAME COMMIT|unknown [repo=…] [branch=…] [tag=…] [directory=… contents=… alike=COMMIT] [error="…"] [summary="…" author="…"]
//! vetted NAME COMMIT good="…"|refused="…"|unknown="…"       what is known of the head that `head NAME COMMIT` names
//! window allow|deny "CRON" for=60h [zone=UTC] [services=a,b] [line=34]
//! stray NAME INDEX
//! ```

use super::keys::{apply_key, split};
use crate::plan_builders::{
    NOON, commit, declared, desired, head, instance_id, operation, policy, record, running_view, serving, spec,
};
use std::collections::BTreeMap;
use std::time::Duration;
use towpath::desired::{DeclaredService, DeclaredWindow, Desired};
use towpath::model::{
    Class, CommitId, Contents, Digest, Failure, Held, HeldReason, InstanceId, InstanceRole, InstanceState, Memory,
    OperationKind, OperationTarget, Owner, Pause, Place, Reason, RepositoryUrl, RevisionNumber, ServiceSpec, Step,
    Timestamp, Window, WindowEffect,
};
use towpath::observed::{EngineView, Health, InstanceView, Observed, ServiceView, Verdict, Vetted};
use towpath::plan::{Policy, questions};

/// What a script describes.
pub struct World {
    pub desired: Option<Desired>,
    pub observed: Observed,
    pub policy: Policy,
    names: BTreeMap<InstanceId, String>,
    declared: Vec<DeclaredService>,
    no_manifest: bool,
    allow_mass_delete: bool,
    windows: Vec<DeclaredWindow>,
    vetted: Vec<(RepositoryUrl, CommitId, Verdict)>,
}

type Words = Vec<String>;

/// `key=value`, or a bare word with an empty value.
fn pairs(words: &[String]) -> impl Iterator<Item = (&str, &str)> {
    words.iter().map(|w| split(w))
}

fn ago(text: &str) -> Result<Timestamp, String> {
    let seconds = text.strip_suffix('s').and_then(|s| s.parse::<u64>().ok()).ok_or(format!("`{text}` is no time"))?;
    Ok(Timestamp(NOON.0 - Duration::from_secs(seconds).as_millis() as i64))
}

impl World {
    pub fn read(text: &str) -> Result<Self, String> {
        let mut world = Self::empty();
        for (index, line) in text.lines().enumerate() {
            let words = shlex::split(line).ok_or(format!("line {}: a quote is open", index + 1))?;
            world.line(&words).map_err(|e| format!("line {}: {e}", index + 1))?;
        }
        if !world.no_manifest {
            let mut state = desired(std::mem::take(&mut world.declared));
            state.windows = std::mem::take(&mut world.windows);
            world.policy.mass_delete_allowed = world.allow_mass_delete.then(|| state.manifest.digest.clone());
            world.desired = Some(state);
        }
        world.policy.windows = std::mem::take(&mut world.windows);
        world.answer_questions();
        Ok(world)
    }

    /// Gives each question of the plan the verdict that a line has for it.
    fn answer_questions(&mut self) {
        for question in questions(self.desired.as_ref(), &self.observed) {
            let of_it = |(repository, commit, _): &&(RepositoryUrl, CommitId, Verdict)| {
                *repository == question.repository && *commit == question.commit
            };
            if let Some((repository, commit, verdict)) = self.vetted.iter().find(of_it).cloned() {
                self.observed.vetted.push(Vetted { repository, commit, asked: question.digest(), verdict });
            }
        }
    }

    fn vet(&mut self, name: &str, id: &str, verdict: &str) -> Result<(), String> {
        let text = || split(verdict).1.to_owned();
        let verdict = match split(verdict).0 {
            "good" => Verdict::Good { by: Some(text()) },
            "refused" => Verdict::Refused { why: text() },
            "unknown" => Verdict::Unknown { why: text() },
            other => return Err(format!("`{other}` is no verdict")),
        };
        self.vetted.push((spec(name).source.repository, commit(id), verdict));
        Ok(())
    }

    fn window(&mut self, effect: &str, begins: &str, keys: &[String]) -> Result<(), String> {
        let keys: BTreeMap<&str, &str> = pairs(keys).collect();
        let hours = keys.get("for").and_then(|text| text.strip_suffix('h')?.parse::<u64>().ok()).ok_or("for=…h")?;
        let services = keys.get("services").into_iter().flat_map(|names| names.split(','));
        let window = Window {
            effect: if effect == "allow" { WindowEffect::Allow } else { WindowEffect::Deny },
            begins: begins.parse().map_err(|e| format!("{e}"))?,
            lasts: Duration::from_secs(hours * 3600),
            zone: keys.get("zone").copied().unwrap_or("UTC").parse().map_err(|e| format!("{e}"))?,
            services: services.map(|name| name.parse().unwrap()).collect(),
        };
        let line = keys.get("line").map_or(Ok(34), |line| line.parse()).map_err(|_| "a line number")?;
        let place = Place { file: "towpath.yaml".into(), line, column: 5 };
        self.windows.push(DeclaredWindow { window, place });
        Ok(())
    }

    pub fn instance_name(&self, id: &InstanceId) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| "unknown".into())
    }

    fn empty() -> Self {
        Self {
            desired: None,
            observed: Observed {
                services: Vec::new(),
                heads: Vec::new(),
                engine: EngineView::Answered { name: "docker".into() },
                strays: Vec::new(),
                host_memory: Some(Memory(64 << 30)),
                vetted: Vec::new(),
            },
            policy: policy(7),
            names: BTreeMap::new(),
            declared: Vec::new(),
            no_manifest: false,
            allow_mass_delete: false,
            windows: Vec::new(),
            vetted: Vec::new(),
        }
    }

    fn line(&mut self, words: &Words) -> Result<(), String> {
        let Some((verb, rest)) = words.split_first() else { return Ok(()) };
        match (verb.as_str(), rest) {
            ("policy", settings) => self.set_policy(settings),
            ("manifest", [none]) if none == "none" => {
                self.no_manifest = true;
                Ok(())
            }
            ("engine", [down]) => {
                self.observed.engine = EngineView::Unreachable { message: split(down).1.into() };
                Ok(())
            }
            ("host", [memory]) => self.set_host(memory),
            ("declare", [name, keys @ ..]) => self.declare(name, keys),
            ("service", [name, keys @ ..]) => self.service(name, keys),
            ("instance", [name, index, keys @ ..]) => self.instance(name, index, keys),
            ("operation", [name, kind, keys @ ..]) => self.operation(name, kind, keys),
            ("held", [name, id, keys @ ..]) => self.held(name, id, keys),
            ("heals", [name, times @ ..]) => self.heals(name, times),
            ("head", [name, id, keys @ ..]) => self.head(name, id, keys),
            ("vetted", [name, id, verdict]) => self.vet(name, id, verdict),
            ("window", [effect, begins, keys @ ..]) => self.window(effect, begins, keys),
            ("stray", [name, index]) => self.stray(name, index),
            _ => Err(format!("`{}` is no line of a plan script", words.join(" "))),
        }
    }

    fn set_policy(&mut self, settings: &[String]) -> Result<(), String> {
        for (key, value) in pairs(settings) {
            match key {
                "manual" => self.policy.apply_automatically = false,
                "allow-mass-delete" => self.allow_mass_delete = true,
                "overcommit" => self.policy.overcommit_percent = value.parse().map_err(|_| "overcommit".to_owned())?,
                _ => return Err(format!("`{key}` is no policy")),
            }
        }
        Ok(())
    }

    fn set_host(&mut self, memory: &str) -> Result<(), String> {
        self.observed.host_memory = match memory {
            "unknown" => None,
            size => Some(size.parse().map_err(|e| format!("{e}"))?),
        };
        Ok(())
    }

    fn declare(&mut self, name: &str, keys: &[String]) -> Result<(), String> {
        let (name, line) = name.split_once(':').ok_or("declare NAME:LINE")?;
        let mut spec = spec(name);
        for (key, value) in pairs(keys) {
            apply_key(&mut spec, key, value)?;
        }
        self.declared.push(declared(spec, line.parse().map_err(|_| "a line number")?));
        Ok(())
    }

    fn service(&mut self, name: &str, keys: &[String]) -> Result<(), String> {
        let known = [
            "commit",
            "contents",
            "current",
            "running",
            "target",
            "managed",
            "paused",
            "failed",
            "delete-failed",
            "class",
            "updated",
        ];
        let (own, of_spec): (Vec<_>, Vec<_>) = pairs(keys).partition(|(key, _)| known.contains(key));
        let mut applied = spec(name);
        for (key, value) in of_spec {
            apply_key(&mut applied, key, value)?;
        }
        let own: BTreeMap<&str, &str> = own.into_iter().collect();
        let get = |key: &str, default: &'static str| own.get(key).map_or(default, |v| *v).to_owned();
        let port = 20_000 + 100 * u16::try_from(self.observed.services.len()).map_err(|e| e.to_string())?;
        let mut view = if get("current", "7") == "none" {
            let record = record(&applied, ago("3600s")?);
            ServiceView {
                record,
                current: None,
                operation: None,
                instances: Vec::new(),
                target_size: 0,
                heals: Vec::new(),
            }
        } else {
            let number = get("current", "7").parse().map_err(|_| "current")?;
            let running = get("running", "1").parse().map_err(|_| "running")?;
            running_view(&applied, number, commit(&get("commit", "aaa")), running, port)
        };
        if let (Some(current), Some(tree)) = (&mut view.current, own.get("contents")) {
            current.contents = Some(Contents::Tree((*tree).to_owned()));
        }
        set_record(&mut view, &own)?;
        for (index, instance) in view.instances.iter().enumerate() {
            self.names.insert(instance.record.id.clone(), format!("{name}-{index}"));
        }
        self.observed.services.push(view);
        Ok(())
    }

    fn view(&mut self, name: &str) -> Result<&mut ServiceView, String> {
        let found = self.observed.services.iter_mut().find(|v| v.record.name.as_str() == name);
        found.ok_or(format!("no service `{name}` before this line"))
    }

    fn instance(&mut self, name: &str, index: &str, keys: &[String]) -> Result<(), String> {
        let index: usize = index.parse().map_err(|_| "an index")?;
        self.names.insert(instance_id(name, index), format!("{name}-{index}"));
        let view = self.view(name)?;
        if index >= view.instances.len() {
            let applied = view.record.applied.clone().unwrap_or_else(|| spec(name));
            let at = ago("3600s")?;
            let current = view.current.clone();
            let current = current.unwrap_or_else(|| crate::plan_builders::revision(1, &applied, commit("aaa"), at));
            let port = 30_000 + u16::try_from(index).map_err(|e| e.to_string())?;
            view.instances.push(serving(instance_id(name, index), &view.record.id, &current, port, at));
        }
        let operation = view.operation.as_ref().map(|o| o.id.clone());
        let instance = view.instances.get_mut(index).ok_or("indices count without a gap")?;
        pairs(keys).try_for_each(|(key, value)| set_instance(instance, key, value, operation.as_ref()))
    }

    fn spec_named(&mut self, name: &str, which: &str) -> Result<ServiceSpec, String> {
        let declared = self.declared.iter().find(|d| d.spec.name.as_str() == name).map(|d| d.spec.clone());
        let applied = self.view(name)?.record.applied.clone();
        match which {
            "declared" => declared.ok_or(format!("`{name}` is not declared before this line")),
            "applied" => applied.ok_or(format!("nothing of `{name}` is applied")),
            memory => {
                let mut other = declared.or(applied).unwrap_or_else(|| spec(name));
                let (key, value) = memory.split_once(':').ok_or("spec=declared|applied|key:value")?;
                apply_key(&mut other, key, value).map(|()| other)
            }
        }
    }

    fn operation(&mut self, name: &str, kind: &str, keys: &[String]) -> Result<(), String> {
        let keys: BTreeMap<&str, &str> = pairs(keys).collect();
        let kind = match kind {
            "create" => OperationKind::CreateService,
            "deploy" => OperationKind::StartDeployment,
            "update" => OperationKind::UpdateService,
            "pause" => OperationKind::PauseService,
            "resume" => OperationKind::ResumeService,
            "delete" => OperationKind::DeleteService,
            _ => return Err(format!("`{kind}` is no operation")),
        };
        let spec = keys.get("spec").map(|which| self.spec_named(name, which)).transpose()?;
        let target = OperationTarget {
            spec,
            commit: keys.get("commit").map(|c| commit(c)),
            revision: keys.contains_key("rollback").then_some(RevisionNumber(6)),
            in_place: keys.contains_key("in-place"),
        };
        let step = keys.get("step").map(|s| step_named(s)).transpose()?;
        let view = self.view(name)?;
        let mut operation = operation(view, kind, step, target);
        operation.cancel_requested = keys.contains_key("cancelled");
        view.operation = Some(operation);
        Ok(())
    }

    fn held(&mut self, name: &str, id: &str, keys: &[String]) -> Result<(), String> {
        let keys: BTreeMap<&str, &str> = pairs(keys).collect();
        let spec = match keys.get("spec").copied() {
            None | Some("any") => None,
            Some(which) => Some(Digest::of(&self.spec_named(name, which)?)),
        };
        let why = match keys.get("why").copied().unwrap_or("failed") {
            "failed" => HeldReason::Failed,
            "rolled-back" => HeldReason::RolledBack,
            "paused" => HeldReason::Paused,
            "cancelled" => HeldReason::Cancelled,
            other => return Err(format!("`{other}` is no reason to hold")),
        };
        let message = keys.get("message").copied().unwrap_or_default().to_owned();
        self.view(name)?.record.held.push(Held { commit: commit(id), spec, why, message, at: NOON });
        Ok(())
    }

    fn heals(&mut self, name: &str, times: &[String]) -> Result<(), String> {
        let heals: Result<Vec<Timestamp>, String> = times.iter().map(|t| ago(t)).collect();
        self.view(name)?.heals = heals?;
        Ok(())
    }

    fn head(&mut self, name: &str, id: &str, keys: &[String]) -> Result<(), String> {
        let keys: BTreeMap<&str, &str> = pairs(keys).collect();
        let mut spec = spec(name);
        if let Some(repository) = keys.get("repo") {
            apply_key(&mut spec, "repo", repository)?;
        }
        for key in ["branch", "tag", "directory"] {
            if let Some(value) = keys.get(key) {
                apply_key(&mut spec, key, value)?;
            }
        }
        let mut head = head(&spec, (id != "unknown").then(|| commit(id)));
        head.contents = keys.get("contents").map(|tree| Contents::Tree((*tree).to_owned()));
        head.alike = keys.get("alike").into_iter().map(|id| commit(id)).collect();
        head.details = keys.get("summary").map(|summary| {
            let mut details = crate::plan_builders::revision(1, &spec, commit(id), NOON).commit;
            details.summary = (*summary).to_owned();
            details.author = keys.get("author").copied().unwrap_or("Jane").to_owned();
            details
        });
        head.error = keys.get("error").map(|e| (*e).to_owned());
        self.observed.heads.push(head);
        Ok(())
    }

    fn stray(&mut self, name: &str, index: &str) -> Result<(), String> {
        let index: usize = index.parse().map_err(|_| "an index")?;
        let spec = spec(name);
        let current = crate::plan_builders::revision(1, &spec, commit("aaa"), NOON);
        let id = crate::plan_builders::service_id(name);
        let view = serving(instance_id(name, 900 + index), &id, &current, 40_000, NOON);
        self.observed.strays.extend(view.observed);
        Ok(())
    }
}

fn failure(message: &str, class: Class) -> Failure {
    Failure { reason: Reason::BuildFailed, class, message: message.into(), step: Some(Step::Build) }
}

fn set_record(view: &mut ServiceView, keys: &BTreeMap<&str, &str>) -> Result<(), String> {
    let class = if keys.get("class") == Some(&"retry") { Class::Retry } else { Class::Stalled };
    let record = &mut view.record;
    if keys.contains_key("managed") {
        record.owner = Owner::Managed;
    }
    if let Some(principal) = keys.get("paused") {
        record.paused = Some(Pause { principal: (*principal).into(), reason: None, at: NOON });
        view.target_size = 0;
    }
    record.create_failed = keys.get("failed").map(|m| failure(m, class));
    record.delete_failed = keys.get("delete-failed").map(|m| failure(m, class));
    if let Some(text) = keys.get("updated") {
        record.updated_at = ago(text)?;
    }
    if let Some(target) = keys.get("target") {
        view.target_size = target.parse().map_err(|_| "target")?;
    }
    Ok(())
}

fn set_instance(
    instance: &mut InstanceView,
    key: &str,
    value: &str,
    operation: Option<&towpath::model::OperationId>,
) -> Result<(), String> {
    let there = instance.observed.as_mut().ok_or("it is gone already");
    match key {
        "gone" => instance.observed = None,
        "exited" => there?.state = InstanceState::Exited { code: Some(1), message: value.into() },
        "frozen" => there?.state = InstanceState::Frozen,
        "unhealthy" => instance.health = Health::Unhealthy { message: value.into() },
        "unknown" => instance.health = Health::Unknown,
        "drift" => there?.drift.push(value.into()),
        "config" => there?.config = Digest::of(&value),
        "starting" => {
            instance.record.role = InstanceRole::Starting;
            instance.record.address = None;
            instance.health = Health::Unknown;
        }
        "retiring" => instance.record.role = InstanceRole::Retiring,
        "operation" => instance.record.operation = operation.cloned(),
        "old-operation" => instance.record.operation = Some(crate::plan_builders::operation_id("old", "old")),
        "revision" => instance.record.revision = RevisionNumber(value.parse().map_err(|_| "a revision")?),
        "age" => instance.record.created_at = ago(value)?,
        _ => return Err(format!("`{key}` is nothing of an instance")),
    }
    Ok(())
}

fn step_named(text: &str) -> Result<Step, String> {
    serde_json::from_value(serde_json::Value::String(text.into())).map_err(|e| e.to_string())
}
