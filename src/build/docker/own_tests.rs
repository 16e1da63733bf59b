use super::*;
use std::os::unix::fs::symlink;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = tree.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    tree
}

fn build(path: &str, context: Option<&str>, target: Option<&str>) -> DockerfileBuild {
    DockerfileBuild {
        path: path.parse().unwrap(),
        context: context.map(|c| c.parse().unwrap()),
        target: target.map(str::to_owned),
        args: BTreeMap::new(),
    }
}

fn refusal(tree: &tempfile::TempDir, build: &DockerfileBuild) -> String {
    match Own::open(tree.path(), build) {
        Err(error) => error.to_string(),
        Ok(own) => panic!("{} was taken", own.name),
    }
}

#[test]
fn a_dockerfile_is_sent_where_it_stands_unless_the_context_has_it_not() {
    let tree = tree(&[
        ("Dockerfile", "FROM a\n"),
        ("docker/web.Dockerfile", "FROM b\n"),
        ("docker/web.Dockerfile.dockerignore", "x\n"),
        (".dockerignore", "Dockerfile\n"),
        ("web/app", ""),
    ]);
    let open = |path, context| Own::open(tree.path(), &build(path, context, None)).unwrap();
    let own = open("docker/web.Dockerfile", None);
    assert_eq!((own.name.as_str(), own.context.beside.len()), ("docker/web.Dockerfile", 0));
    assert!(
        own.context.ignore.excludes("x") && !own.context.ignore.excludes("Dockerfile"),
        "its own ignore file counts"
    );
    let left_out = open("Dockerfile", None);
    assert_eq!((left_out.name.as_str(), left_out.context.beside.len()), (APART, 1));
    let outside = open("docker/web.Dockerfile", Some("web"));
    assert_eq!(outside.context.root, tree.path().canonicalize().unwrap().join("web"));
    assert_eq!(outside.name, APART);
}

#[test]
fn what_cannot_be_built_is_refused_with_what_there_is() {
    let tree = tree(&[
        ("Dockerfile.prod", "FROM a AS build\nFROM b AS final\n"),
        ("empty", "# nothing\n"),
        ("secret", "FROM a\nRUN --mount=type=secret,id=x true\n"),
        ("d/x", ""),
    ]);
    std::fs::write(tree.path().join("binary"), [0xff, 0xfe]).unwrap();
    for (wanted, part) in [
        (
            build("Dockerfile", None, None),
            "There is no `Dockerfile` in the repository. Its root has `Dockerfile.prod`.",
        ),
        (build("Dockerfile.prod", None, Some("prod")), "has no stage `prod`; it has `build`, `final`"),
        (build("empty", None, None), "has no `FROM`"),
        (build("secret", None, None), "secret:2 asks for a `secret` mount"),
        (build("d", None, None), "`d` in the repository is not a file"),
        (build("binary", None, None), "not UTF-8"),
        (build("Dockerfile.prod", Some("nowhere"), None), "`nowhere` is not a directory"),
        (build("Dockerfile.prod", Some("d/x"), None), "`d/x` is not a directory"),
    ] {
        let said = refusal(&tree, &wanted);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn links_out_of_the_tree_lead_nowhere() {
    let (tree, outside) = (tree(&[("Dockerfile", "FROM a\n")]), tree(&[("Dockerfile", "FROM evil\n")]));
    symlink(outside.path().join("Dockerfile"), tree.path().join("link")).unwrap();
    symlink(outside.path(), tree.path().join("context")).unwrap();
    symlink("Dockerfile", tree.path().join("inner")).unwrap();
    assert!(refusal(&tree, &build("link", None, None)).contains("There is no `link`"));
    assert!(refusal(&tree, &build("Dockerfile", Some("context"), None)).contains("not a directory"));
    assert_eq!(Own::open(tree.path(), &build("inner", None, None)).unwrap().name, APART);
}

#[test]
fn a_frontend_that_cannot_be_had_is_named_with_its_line() {
    let error = BuildError::Runtime(
        "The build could not be prepared: failed to solve with frontend dockerfile.v0: failed \
                                     to solve with frontend gateway.v0: failed to do request: no such host"
            .into(),
    );
    let syntax = Needed { image: "docker/dockerfile:1".into(), line: 1 };
    let said = explain(error, &build("Dockerfile", None, None), Some(&syntax)).to_string();
    assert!(said.starts_with("Dockerfile:1 asks for the syntax `docker/dockerfile:1`"), "{said}");
    assert!(said.contains("could not pull: failed to do request: no such host."), "{said}");
}
