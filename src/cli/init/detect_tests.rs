use super::*;

fn of(files: &[(&str, &str)]) -> Detection {
    detect(&Files::of(files), &Catalogue::builtin())
}

fn built(detection: &Detection) -> (&str, Vec<&str>, &str) {
    match &detection.build {
        Build::Inline { runtime, commands, start } => {
            (runtime, commands.iter().map(String::as_str).collect(), start.as_str())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_apprunner_file_counts_before_everything_else() {
    assert_eq!(of(&[("apprunner.yaml", ""), ("package.json", "{}")]).build, Build::File);
}

#[test]
fn python_frameworks_are_found_with_the_way_they_are_served() {
    for (files, runtime, commands, start) in [
        (
            vec![
                ("requirements.txt", "flask\ngunicorn\n"),
                ("app.py", "from flask import Flask\napp = Flask(__name__)\n"),
            ],
            "python311",
            vec!["pip install -r requirements.txt"],
            "gunicorn app:app --bind 0.0.0.0:$PORT",
        ),
        (
            vec![
                ("uv.lock", ""),
                ("pyproject.toml", "requires-python = \">=3.12\"\n"),
                ("app/main.py", "api: FastAPI = FastAPI()\n"),
            ],
            "python312",
            vec!["pip install uv", "uv sync --frozen --active", "pip install uvicorn"],
            "uvicorn app.main:api --host 0.0.0.0 --port $PORT",
        ),
        (
            vec![
                ("requirements.txt", "Django==4.2\n"),
                ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n"),
            ],
            "python311",
            vec!["pip install -r requirements.txt", "pip install gunicorn"],
            "gunicorn mysite.wsgi --bind 0.0.0.0:$PORT",
        ),
        (vec![("server.py", "serve()\n")], "python311", vec![], "python server.py"),
    ] {
        let found = of(&files);
        assert_eq!(built(&found), (runtime, commands, start));
        assert!(found.missing.is_empty());
    }
}

#[test]
fn node_follows_its_lock_file_its_scripts_and_its_engines() {
    let package = r#"{ "scripts": { "start": "node server.js", "build": "tsc" }, "engines": { "node": ">=18" } }"#;
    let found = of(&[("package.json", package), ("package-lock.json", "{}"), ("server.js", "app.listen(3000)")]);
    assert_eq!(built(&found), ("nodejs18", vec!["npm ci", "npm run build"], "npm start"));
    assert_eq!(found.port, Some(3000));
    let found = of(&[("package.json", "{}"), ("index.js", "listen(process.env.PORT || 3000)")]);
    assert_eq!((built(&found).2, found.port), ("node index.js", None));
}

#[test]
fn a_procfile_says_how_it_starts() {
    let found = of(&[("requirements.txt", ""), ("Procfile", "worker: x\nweb: gunicorn site:app -b :$PORT\n")]);
    assert_eq!(built(&found).2, "gunicorn site:app -b :$PORT");
}

#[test]
fn what_cannot_be_found_is_said() {
    let found = of(&[("README.md", "")]);
    assert_eq!(found.missing.len(), 3);
    let found = of(&[("requirements.txt", "numpy")]);
    assert_eq!(found.missing.len(), 1, "{found:?}");
}

#[test]
fn a_dockerfile_alone_is_built_as_it_is() {
    let found = of(&[("Dockerfile", "FROM scratch\nEXPOSE 9000\n")]);
    assert_eq!((found.build, found.port), (Build::Dockerfile, Some(9000)));
}
