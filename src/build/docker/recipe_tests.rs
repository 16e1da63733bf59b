use super::*;

fn settings() -> AppSettings {
    AppSettings {
        runtime: "python3".parse().unwrap(),
        runtime_version: None,
        pre_build: vec!["echo \"$HOME\" <<EOF".into()],
        build: vec!["pip install -r requirements.txt".into(), "a\nUSER nobody\n\\".into()],
        post_build: vec!["rm -rf tests".into()],
        build_env: [("TOKEN".parse().unwrap(), "a b\"$c".to_owned())].into(),
        pre_run: Vec::new(),
        start: "python3 app.py".into(),
        port: 8080,
        port_env: None,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        dockerfile: None,
    }
}

fn images(overrides: &[(&str, &str)]) -> BaseImages {
    let overrides = overrides.iter().map(|(r, i)| (r.parse().unwrap(), (*i).to_owned())).collect();
    BaseImages { catalogue: Catalogue::builtin(), overrides }
}

fn locked(lock: &str) -> AppSettings {
    AppSettings { runtime_version: Some(lock.parse().unwrap()), ..settings() }
}

/// A Dockerfile without what is the same in all: scripts by their first words, and the variables of every line.
fn shortened(dockerfile: &str) -> Vec<String> {
    let quiet: Vec<String> = recipe::QUIET.iter().map(|(name, value)| format!("\"{name}={value}\",")).collect();
    let line = |line: &str| {
        let short = quiet.iter().fold(line.to_owned(), |line, variable| line.replace(variable, ""));
        let script = short.find("# Makes ").map(|at| short[..at].to_owned() + "…");
        script.unwrap_or(short)
    };
    dockerfile.lines().map(line).collect()
}

#[test]
fn a_python_service_has_this_dockerfile() {
    let mut settings = settings();
    settings.pre_run.push("flask db upgrade".into());
    settings.env.insert("STAGE".parse().unwrap(), "live".into());
    let recipe = Recipe::new(&settings, Language::Python, "python:3.8", &BTreeMap::new()).unwrap();
    let expected = r#"FROM python:3.8
WORKDIR /app
RUN ["/bin/sh","-c","…
RUN ["/bin/sh","-c","…
ENV VIRTUAL_ENV=/opt/venv PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
ENV PATH=/opt/venv/bin:/root/.local/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
COPY app/ /app/
RUN ["/usr/bin/env","TOKEN=a b\"$c","/bin/sh","-c","echo \"$HOME\" \u003c\u003cEOF"]
RUN ["/usr/bin/env","TOKEN=a b\"$c","/bin/sh","-c","pip install -r requirements.txt"]
RUN ["/usr/bin/env","TOKEN=a b\"$c","/bin/sh","-c","a\nUSER nobody\n\\"]
RUN ["/usr/bin/env","TOKEN=a b\"$c","/bin/sh","-c","rm -rf tests"]
RUN ["/usr/bin/env","STAGE=live","/bin/sh","-c","flask db upgrade"]
ENTRYPOINT []"#;
    assert_eq!(shortened(&recipe.dockerfile()), expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_node_service_has_this_dockerfile() {
    let settings = AppSettings { build_env: BTreeMap::new(), pre_build: vec![], post_build: vec![], ..settings() };
    let recipe = Recipe::new(
        &AppSettings { build: vec!["npm ci".into()], ..settings },
        Language::Node,
        "node:18",
        &BTreeMap::new(),
    )
    .unwrap();
    let expected = r#"FROM node:18
WORKDIR /app
RUN ["/bin/sh","-c","…
ENV PATH=/app/node_modules/.bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
COPY app/ /app/
RUN ["/usr/bin/env","/bin/sh","-c","npm ci"]
ENTRYPOINT []"#;
    assert_eq!(shortened(&recipe.dockerfile()), expected.lines().collect::<Vec<_>>());
}

#[test]
fn buildkit_keeps_downloads_apart_by_owner_and_out_of_the_image() {
    let settings = AppSettings { build: vec!["RUN RUN".into()], pre_build: vec![], ..settings() };
    let recipe = Recipe::new(&settings, Language::Node, "node:18", &BTreeMap::new()).unwrap();
    let text = recipe.dockerfile_for_buildkit("0f1-shop", Memory(4 << 30));
    let mount = "RUN --mount=type=cache,id=towpath-0f1-shop-root--npm--cacache,target=/root/.npm/_cacache --mount=";
    assert_eq!(text.lines().filter(|line| line.starts_with(mount)).count(), 2, "{text}");
    let bound = r#""/bin/sh","-c","ulimit -d 4194304 && exec /bin/sh -c \"$0\"","#;
    assert_eq!(text.matches(bound).count(), 2, "{text}");
    assert!(!recipe.dockerfile().contains("--mount") && text.contains("\"RUN RUN\""), "{text}");
}

#[test]
fn steps_of_both_builders_lead_to_the_same_command() {
    let recipe = Recipe::new(&settings(), Language::Python, "python:3.8", &BTreeMap::new()).unwrap();
    assert_eq!(recipe.classic_step(9), recipe.buildkit_step(7));
    assert_eq!(recipe.buildkit_step(7).unwrap().line, "pip install -r requirements.txt");
    assert_eq!(recipe.classic_step(11).unwrap().phase, "post-build");
    assert_eq!((recipe.classic_step(0), recipe.classic_step(3), recipe.buildkit_step(99)), (None, None, None));
}

#[test]
fn no_line_of_a_repository_can_begin_an_instruction() {
    let recipe = Recipe::new(&settings(), Language::Python, "python:3.8", &BTreeMap::new()).unwrap();
    assert!(recipe.dockerfile().lines().all(|line| !line.starts_with("USER")));
}

#[test]
fn a_line_that_docker_could_not_read_is_refused_with_a_way_out() {
    let long = AppSettings { build: vec!["x".repeat(70_000)], ..settings() };
    let error = Recipe::new(&long, Language::Python, "python:3.8", &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("put it into a script"), "{error}");
}

#[test]
fn a_lock_chooses_the_base_image() {
    let image = |settings: AppSettings| images(&[]).choose(&settings).unwrap().1;
    assert_eq!(image(settings()), "docker.io/library/python:3.8-bookworm");
    assert_eq!(image(locked("3")), "docker.io/library/python:3.8-bookworm");
    assert_eq!(image(locked("3.7")), "docker.io/library/python:3.7-bookworm");
    assert_eq!(image(locked("3.7.16")), "docker.io/library/python:3.7.16-bookworm");
    let error = images(&[]).choose(&locked("3.12")).unwrap_err().to_string();
    assert_eq!(error, "The specified runtime version is not supported. `python3` offers 3.8, 3.7, not 3.12.");
}

#[test]
fn an_operators_image_takes_the_place_of_the_catalogues() {
    let own = images(&[("python3", "registry.local:5000/python:{version}")]);
    assert_eq!(own.choose(&settings()).unwrap().1, "registry.local:5000/python:3.8");
    for bad in ["", "a b", "x\nRUN evil", "--platform=x", "$x"] {
        assert!(images(&[("python3", bad)]).choose(&settings()).is_err(), "{bad:?}");
    }
}

#[test]
fn commands_run_in_the_source_directory_of_a_whole_repository() {
    let node = Recipe::new(&settings(), Language::Node, "node:18", &BTreeMap::new()).unwrap();
    let text = node.within(Some(&"services/web".parse().unwrap())).dockerfile();
    let lines: Vec<&str> = text.lines().collect();
    let copy = lines.iter().position(|line| *line == "COPY app/ /app/").unwrap();
    assert_eq!(lines[copy + 1], "WORKDIR /app/services/web");
    assert!(lines.iter().any(|line| line.starts_with("ENV PATH=/app/services/web/node_modules/.bin:")), "{text}");
}

#[test]
fn what_lock_files_name_is_installed_before_the_application_is_copied() {
    let settings = AppSettings { pre_build: vec![], ..settings() };
    let recipe = || Recipe::new(&settings, Language::Python, "python:3.8", &BTreeMap::new()).unwrap();
    let found = Dependencies {
        lines: vec!["pip install -r requirements.txt".into()],
        files: BTreeMap::from([("requirements.txt".to_owned(), b"a==1".to_vec())]),
    };
    let made = recipe().installing_first(Some(found.clone()), None);
    assert_eq!(made.locked, [("locked/requirements.txt".to_owned(), b"a==1".to_vec())]);
    let text = shortened(&made.dockerfile());
    let at = |text: &[String], wanted: &str| text.iter().position(|line| line.contains(wanted)).unwrap();
    let order = ["COPY locked/ /app/", "requirements.txt", "COPY app/ /app/", "USER nobody", "rm -rf tests"];
    assert!(order.map(|wanted| at(&text, wanted)).is_sorted(), "{text:#?}");
    let steps = (1..text.len()).filter_map(|n| made.classic_step(n)).map(|c| c.line.clone());
    assert_eq!(steps.collect::<Vec<_>>(), [&settings.build[..], &settings.post_build[..]].concat());

    let directory = Some("services/web".parse().unwrap());
    let text =
        shortened(&recipe().within(directory.as_ref()).installing_first(Some(found), directory.as_ref()).dockerfile());
    let order =
        ["WORKDIR /app/services/web", "COPY locked/ /app/services/web/", "requirements.txt", "COPY app/ /app/", "USER"];
    assert!(order.map(|wanted| at(&text, wanted)).is_sorted(), "{text:#?}");
    assert_eq!(recipe().installing_first(None, None), recipe());
}
