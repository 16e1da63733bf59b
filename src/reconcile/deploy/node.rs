//! Which version of Node a commit asks for: `engines.node` of its `package.json` (row S5).

use super::fetch::source_failure;
use super::stalled;
use crate::model::{
    AppSettings, Commit, Failure, Language, LineSink, LineSource, NodeRange, Reason, Runtime, ServiceSpec, Step,
    VersionLock,
};
use crate::reconcile::core::Core;

/// The lock to build with: that of the settings, or what `engines.node` chooses within the runtime.
///
/// # Errors
/// When both exclude each other.
pub(in crate::reconcile) async fn lock(
    core: &Core,
    log: &dyn LineSink,
    of: (&ServiceSpec, &Commit),
    settings: &AppSettings,
) -> Result<Option<VersionLock>, Failure> {
    let say = |text: &str| log.line(LineSource::AppRunner, text);
    let locked = settings.runtime_version.clone();
    let catalogue = &core.config.catalogue;
    let Some(runtime) = catalogue.find(&settings.runtime).filter(|r| r.language == Language::Node) else {
        return Ok(locked);
    };
    let Some(text) = wanted(core, of).await? else { return Ok(locked) };
    let Ok(range) = text.parse::<NodeRange>() else {
        say(&format!(
            "package.json: `engines.node` is `{}`, which is no range of versions: ignored.",
            text.escape_debug()
        ));
        return Ok(locked);
    };
    let chosen = choose(runtime, locked, &range).map_err(|m| stalled(Step::Build, Reason::BuildFailed, m))?;
    if let Some(lock) = chosen.as_ref().filter(|lock| settings.runtime_version.as_ref() != Some(*lock)) {
        say(&format!("package.json: `engines.node` is `{range}`: building with {} {lock}.", runtime.name));
    }
    Ok(chosen)
}

fn choose(runtime: &Runtime, locked: Option<VersionLock>, range: &NodeRange) -> Result<Option<VersionLock>, String> {
    if let Some(lock) = locked {
        return if range.meets(&lock) {
            Ok(Some(lock))
        } else {
            Err(format!(
                "`engines.node` of package.json is `{range}`, and `runtime-version` is `{lock}`: no version is both; change one"
            ))
        };
    }
    let chosen = range.choose(&runtime.versions).ok_or_else(|| {
        format!(
            "`engines.node` of package.json is `{range}`, and no version of runtime `{}` is in it; change one of them",
            runtime.name
        )
    })?;
    // The runtime's own version is no lock: its minor and patch move (row S4).
    Ok((!runtime.versions.contains(&chosen)).then_some(chosen))
}

/// The text of `engines.node`, when there is one.
async fn wanted(core: &Core, (spec, commit): (&ServiceSpec, &Commit)) -> Result<Option<String>, Failure> {
    const FILE: &str = "package.json";
    let source = &spec.source;
    let path = source.track.directory.as_ref().map_or_else(|| FILE.to_owned(), |directory| directory.join(FILE));
    let read = core.git.read_file(&source.repository, &commit.id, &path).await;
    let bytes = read.map_err(|e| source_failure(Step::Build, &e))?.unwrap_or_default();
    // npm says what is wrong with a file that is no JSON.
    let package: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(package["engines"]["node"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Catalogue;

    fn chosen(locked: Option<&str>, range: &str) -> Result<Option<String>, String> {
        let catalogue = Catalogue::builtin();
        let runtime = catalogue.find(&"nodejs18".parse().unwrap()).unwrap();
        let lock = choose(runtime, locked.map(|lock| lock.parse().unwrap()), &range.parse().unwrap())?;
        Ok(lock.map(|lock| lock.to_string()))
    }

    #[test]
    fn engines_choose_within_the_runtime_unless_a_lock_does() {
        assert_eq!(chosen(None, ">=14"), Ok(None));
        assert_eq!(chosen(None, "~18.12"), Ok(Some("18.12".into())));
        assert_eq!(chosen(Some("18.12.1"), "18.x"), Ok(Some("18.12.1".into())));
    }

    #[test]
    fn a_conflict_names_both() {
        let message = chosen(Some("18.12.1"), ">=20").unwrap_err();
        assert!(message.contains("`>=20`") && message.contains("`18.12.1`"), "{message}");
        let message = chosen(None, "16.x").unwrap_err();
        assert!(message.contains("`16.x`") && message.contains("`nodejs18`"), "{message}");
    }
}
