//! What Python repositories look like.

use super::detect::{Guess, known};
use super::files::Files;
use crate::model::{Catalogue, Language};

/// Files that may hold the application object, in the order in which people name them.
pub(super) const MODULES: &[&str] = &[
    "main.py",
    "app.py",
    "server.py",
    "application.py",
    "wsgi.py",
    "asgi.py",
    "run.py",
    "app/main.py",
    "app/app.py",
    "app/__init__.py",
    "src/main.py",
    "src/app.py",
    "api/main.py",
];

/// Judges a directory as a Python application.
pub fn guess(files: &Files, catalogue: &Catalogue) -> Option<Guess> {
    let (mut commands, place) = install(files)?;
    let needs = dependencies(files);
    let start = start(files, &needs);
    if let Some(Start { installs: Some(tool), .. }) = &start {
        commands.push(format!("pip install {tool}"));
    }
    let listens = start.as_ref().and_then(|s| s.listens);
    let notes = start.iter().filter_map(|s| s.note.clone()).collect();
    let start = start.map(|s| (s.command, s.place));
    Some(Guess { runtime: runtime(files, catalogue, place), commands: (commands, place.into()), start, listens, notes })
}

/// How dependencies are installed. `None` where nothing is Python.
fn install(files: &Files) -> Option<(Vec<String>, &'static str)> {
    let lines = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<String>>();
    let found = if files.has("uv.lock") {
        (lines(&["pip install uv", "uv sync --frozen --active"]), "uv.lock")
    } else if files.has("poetry.lock") {
        (lines(&["pip install poetry", "poetry install --only main --no-root"]), "poetry.lock")
    } else if files.has("Pipfile.lock") {
        (lines(&["pip install pipenv", "pipenv sync"]), "Pipfile.lock")
    } else if files.has("requirements.txt") {
        (lines(&["pip install -r requirements.txt"]), "requirements.txt")
    } else if files.has("Pipfile") {
        (lines(&["pip install pipenv", "pipenv install"]), "Pipfile")
    } else if files.has("pyproject.toml") {
        (lines(&["pip install ."]), "pyproject.toml")
    } else {
        // A Node application may have a Python script beside it.
        let module = MODULES.iter().find(|m| files.text(m).is_some()).filter(|_| !files.has("package.json"))?;
        (Vec::new(), *module)
    };
    Some(found)
}

/// All texts that name dependencies, in lower case.
fn dependencies(files: &Files) -> String {
    let names = ["requirements.txt", "pyproject.toml", "Pipfile"];
    names.iter().filter_map(|n| files.text(n)).collect::<Vec<_>>().join("\n").to_ascii_lowercase()
}

/// How it is started.
struct Start {
    command: String,
    place: String,
    /// A package that the command needs and the repository does not name.
    installs: Option<&'static str>,
    listens: Option<&'static str>,
    note: Option<String>,
}

fn start(files: &Files, needs: &str) -> Option<Start> {
    django(files, needs).or_else(|| framework(files, needs)).or_else(|| script(files))
}

fn plain(command: String, place: &str) -> Start {
    Start { command, place: place.to_owned(), installs: None, listens: None, note: None }
}

/// `DJANGO_SETTINGS_MODULE` in `manage.py` names the project.
fn django(files: &Files, needs: &str) -> Option<Start> {
    let text = files.text("manage.py")?;
    let after = text.split("DJANGO_SETTINGS_MODULE").nth(1)?;
    let module = after.split(['"', '\'']).find(|part| part.contains('.') || is_name(part))?;
    let project = module.split('.').next().filter(|p| is_name(p))?;
    let mut start = plain(format!("gunicorn {project}.wsgi --bind 0.0.0.0:$PORT"), "manage.py");
    if !needs.contains("gunicorn") {
        start.installs = Some("gunicorn");
        start.note = Some("gunicorn serves it; name it among the dependencies to fix its version".into());
    }
    start.note.get_or_insert_with(|| "`python manage.py migrate` is not run; allow the host in `ALLOWED_HOSTS`".into());
    Some(start)
}

/// A module with `x = FastAPI(…)`, `x = Flask(…)` or `x = Starlette(…)`.
fn framework(files: &Files, needs: &str) -> Option<Start> {
    for file in MODULES {
        let Some(text) = files.text(file) else { continue };
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        if let Some((object, kind)) = ["FastAPI", "Starlette"].iter().find_map(|k| Some((object(text, k)?, k))) {
            let mut start = plain(format!("uvicorn {module}:{object} --host 0.0.0.0 --port $PORT"), file);
            start.place = format!("`{object} = {kind}(` in {file}");
            start.installs = (!needs.contains("uvicorn") && !needs.contains("fastapi[")).then_some("uvicorn");
            return Some(start);
        }
        if let Some(object) = object(text, "Flask") {
            let mut start = plain(format!("gunicorn {module}:{object} --bind 0.0.0.0:$PORT"), file);
            start.place = format!("`{object} = Flask(` in {file}");
            start.installs = (!needs.contains("gunicorn")).then_some("gunicorn");
            return Some(start);
        }
    }
    None
}

/// The name that an instance of a class is given at the left edge of a line.
fn object<'t>(text: &'t str, class: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.split(':').next()?.trim_end();
        (is_name(name) && value.trim_start().starts_with(&format!("{class}("))).then_some(name)
    })
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(plain) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// A script that runs by itself.
fn script(files: &Files) -> Option<Start> {
    let (file, _) = files.first(MODULES)?;
    let listens = MODULES.iter().find(|m| **m == file).copied();
    Some(Start { listens, ..plain(format!("python {file}"), file) })
}

/// The runtime whose version the repository asks for; App Runner's newest Python without a wish.
fn runtime(files: &Files, catalogue: &Catalogue, place: &str) -> (String, String) {
    let wish = wished(files);
    let default = known(catalogue, &["python311"]);
    let Some((minor, least, said)) = wish else { return (default, place.to_owned()) };
    let minors = catalogue.runtimes.iter().filter(|r| r.language == Language::Python && r.name.as_str() != "python3");
    let offered = minors.filter_map(|r| Some((r.versions.first()?.0.get(1).copied()?, r.name.as_str())));
    let wanted = if least { minor.max(11) } else { minor };
    match offered.filter(|(m, _)| *m >= wanted).min() {
        Some((m, name)) if least || m == minor => (name.to_owned(), said.to_owned()),
        _ if minor == 8 || minor == 7 => ("python3".to_owned(), said.to_owned()),
        _ => (default, place.to_owned()),
    }
}

/// The minor of Python 3 that is asked for, whether a newer one does as well, and where that stands.
fn wished(files: &Files) -> Option<(u32, bool, &'static str)> {
    let exact =
        files.first(&[".python-version", "runtime.txt"]).and_then(|(n, text)| Some((minor_in(text)?, false, n)));
    exact.or_else(|| {
        let line = files.text("pyproject.toml")?.lines().find(|l| l.trim_start().starts_with("requires-python"))?;
        let least = !line.contains("==") && !line.contains("~=3.");
        Some((minor_in(line)?, least, "pyproject.toml"))
    })
}

fn minor_in(text: &str) -> Option<u32> {
    let digits: String = text.split("3.").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
