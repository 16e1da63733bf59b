//! `build`: the name of the configuration file, or the settings in place (row S6).

use super::{Context, dockerfile, keys, values};
use crate::desired::apprunner::{self, find_runtime, line, start_command};
use crate::desired::fields::{Fields, mismatch, text_of};
use crate::desired::findings::{Findings, quote};
use crate::desired::yaml::{Node, Span, Value};
use crate::model::{AppSettings, BuildSource};
use std::collections::BTreeMap;

/// Reads `build`; `port` is the service's.
pub(super) fn read(
    service: &Fields,
    port: Option<u16>,
    context: &Context,
    findings: &mut Findings,
) -> Option<BuildSource> {
    let hint = "write `build: apprunner.yaml`, `build: Dockerfile`, or the settings in place: \
                `build: { runtime: python311, start: python app.py }`";
    if service.value("source").is_some_and(|s| s.get("image").is_some()) {
        return dockerfile::of_image(service, port, findings).map(|settings| BuildSource::Inline(Box::new(settings)));
    }
    let node = service.required("build", hint, findings)?;
    let path = service.path("build");
    match &node.value {
        Value::Mapping(_) => {
            let fields = Fields::open(node, path, findings)?;
            let settings = match dockerfile::is_one(&fields) {
                true => dockerfile::read(fields, port, context, findings),
                false => in_place(fields, port, context, findings),
            };
            settings.map(|settings| BuildSource::Inline(Box::new(settings)))
        }
        Value::Scalar(..) => {
            let (text, span) = text_of(node, &path, findings)?;
            file(text, span, &path, port, findings)
        }
        Value::Sequence(_) => {
            mismatch(node, &path, "a file name or a mapping", findings);
            None
        }
    }
}

fn file(text: &str, span: Span, path: &str, port: Option<u16>, findings: &mut Findings) -> Option<BuildSource> {
    match text {
        apprunner::FILE_NAME => return Some(BuildSource::Repository),
        dockerfile::FILE_NAME => return Some(BuildSource::Inline(Box::new(dockerfile::default(port)))),
        _ => {}
    }
    let message = format!(
        "`{path}` must be `{}`, `{}`, or settings in place, not {}",
        apprunner::FILE_NAME,
        dockerfile::FILE_NAME,
        quote(text)
    );
    findings.error("build", span, message).hint(
        "both are read in the root of the repository, under these names only; `{ dockerfile: PATH }` names another \
         Dockerfile",
    );
    None
}

fn in_place(fields: Fields, port: Option<u16>, context: &Context, findings: &mut Findings) -> Option<AppSettings> {
    let fields = &keys::check(fields, "build", findings);
    dockerfile::refuse_its_keys(fields, findings);
    let runtime = runtime(fields, context, findings);
    let lock = fields
        .text("runtimeVersion", findings)
        .and_then(|found| apprunner::lock(found, runtime, context.catalogue, findings));
    let mut phase = |key| commands(fields, key, findings);
    let (pre_build, build, post_build, pre_run) =
        (phase("preBuild"), phase("command"), phase("postBuild"), phase("preRun"));
    let build_env = values::environment(fields, "env", context.shared, findings);
    apprunner::warn_of_lost(values::names(fields, "env"), "each command is run by a shell", findings);
    let start = start(fields, findings);
    Some(AppSettings {
        runtime: runtime?.name.clone(),
        runtime_version: lock,
        pre_build,
        build,
        post_build,
        build_env,
        pre_run,
        start: start?,
        port: port.unwrap_or(apprunner::DEFAULT_PORT),
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    })
}

fn runtime<'c>(fields: &Fields, context: &Context<'c>, findings: &mut Findings) -> Option<&'c crate::model::Runtime> {
    // A build of a later version is one error, not three.
    if is_later(fields) && fields.entry("runtime").is_none() {
        return None;
    }
    let node = fields.required("runtime", "name the managed runtime, such as `runtime: python311`", findings)?;
    let (text, span) = text_of(node, &fields.path("runtime"), findings)?;
    find_runtime(text, span, context.catalogue, findings)
}

pub(super) fn start(fields: &Fields, findings: &mut Findings) -> Option<String> {
    if is_later(fields) && fields.entry("start").is_none() {
        return None;
    }
    let node =
        fields.required("start", "write how the application is started, such as `start: python app.py`", findings)?;
    let (text, span) = text_of(node, &fields.path("start"), findings)?;
    start_command(text, span, None, findings)
}

fn is_later(fields: &Fields) -> bool {
    fields.entry("image").is_some()
}

/// One command, or a list of them.
pub(super) fn commands(fields: &Fields, key: &str, findings: &mut Findings) -> Vec<String> {
    let Some(node) = fields.present(key, "a command or a list of commands", findings) else { return Vec::new() };
    let items: &[Node] = match &node.value {
        Value::Sequence(items) => items,
        _ => std::slice::from_ref(node),
    };
    items.iter().filter_map(|item| line(item, &fields.path(key), findings)).collect()
}
