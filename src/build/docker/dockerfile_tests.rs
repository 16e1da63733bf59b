use super::*;

const MULTI: &str = "# syntax=docker/dockerfile:1\n# escape=\\\n\nARG BASE=python:3.11\nARG TAG\nFROM --platform=linux/amd64 ${BASE} AS Builder\n\
WORKDIR /x\n# why\nRUN --mount=type=cache,target=/c \\\n    # between\n\n    pip install \\\n  -r requirements.txt\nENV A=1\n\
COPY --from=nginx:1.25 /etc/nginx /n\nFROM builder\nUSER app\nCOPY --from=Builder /x /y\nCOPY --from=0 /x /z\nfrom scratch as last\nadd a /b\nCMD [\"x\"]\n";

fn line(command: Option<&Command>) -> Option<usize> {
    command?.place.as_ref()?.rsplit_once(':')?.1.parse().ok()
}

#[test]
fn instructions_are_found_over_continuations_comments_and_case() {
    let read = Dockerfile::read("Dockerfile", MULTI);
    let lines: Vec<(usize, &str)> = read.instructions.iter().map(|i| (i.line, i.keyword.as_str())).collect();
    let wanted = [
        (4, "ARG"),
        (5, "ARG"),
        (6, "FROM"),
        (7, "WORKDIR"),
        (9, "RUN"),
        (14, "ENV"),
        (15, "COPY"),
        (16, "FROM"),
        (17, "USER"),
        (18, "COPY"),
        (19, "COPY"),
        (20, "FROM"),
        (21, "ADD"),
        (22, "CMD"),
    ];
    assert_eq!(lines, wanted);
    assert_eq!(read.instructions[4].rest, "--mount=type=cache,target=/c pip install -r requirements.txt");
    assert_eq!(read.syntax, Some(Needed { image: "docker/dockerfile:1".into(), line: 1 }));
}

#[test]
fn both_builders_step_numbers_lead_to_lines() {
    let read = Dockerfile::read("Dockerfile", MULTI);
    assert_eq!((line(read.classic(5)), line(read.classic(6)), line(read.classic(10))), (Some(9), None, Some(18)));
    for (name, wanted) in [
        ("[builder 1/4] FROM docker.io/library/python", Some(6)),
        ("[builder 3/4] RUN --mount", Some(9)),
        ("[linux/amd64 builder 4/4] COPY --from", Some(15)),
        ("[stage-1 1/2] COPY --from=Builder", Some(18)),
        ("[last 1/1] ADD a /b", Some(21)),
        ("[builder 3/4] COPY of an ONBUILD", None),
        ("[internal] load metadata", None),
        ("[other 1/1] RUN", None),
    ] {
        assert_eq!(line(read.buildkit(name)), wanted, "{name}");
    }
    let one = Dockerfile::read("d/x", "FROM a\nRUN b\n");
    assert_eq!(one.buildkit("[2/2] RUN b").unwrap().place.as_deref(), Some("d/x:2"));
}

#[test]
fn images_are_told_from_stages_and_arguments_are_put_in() {
    let read = Dockerfile::read("Dockerfile", MULTI);
    let needed = |target, args: &[(&str, &str)]| -> Vec<(String, usize)> {
        let args = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read.images(target, &args).into_iter().map(|n| (n.image, n.line)).collect()
    };
    assert_eq!(needed(2, &[]), [("python:3.11".to_owned(), 6), ("nginx:1.25".to_owned(), 15)]);
    assert_eq!(needed(0, &[("BASE", "mine:1")])[0].0, "mine:1");
    let text = "ARG V=1\nARG A=\"x:${V}-slim\"\nFROM $A\nFROM a:${U:-2}\nFROM b:${V:+3}\nFROM ${UNKNOWN}\n";
    let images: Vec<String> =
        Dockerfile::read("d", text).images(9, &BTreeMap::new()).into_iter().map(|n| n.image).collect();
    assert_eq!(images, ["x:1-slim", "a:2", "b:3"]);
}

#[test]
fn a_target_is_a_name_in_any_case_or_a_number() {
    let read = Dockerfile::read("Dockerfile", MULTI);
    assert_eq!(read.target(None), Some(2));
    assert_eq!(
        (read.target(Some("BUILDER")), read.target(Some("1")), read.target(Some("3"))),
        (Some(0), Some(1), None)
    );
    assert_eq!(read.stage_names(), ["builder", "last"]);
    assert_eq!(Dockerfile::read("d", "# nothing\n").target(None), None);
}

#[test]
fn mounts_that_need_a_client_are_named_with_their_line() {
    let text = "FROM a\nRUN --mount=type=cache,target=/c x\nRUN --mount=type=secret,id=k cat /run/secrets/k\n";
    assert_eq!(Dockerfile::read("d", text).needs_session(), Some((3, "secret")));
    assert_eq!(Dockerfile::read("d", "FROM a\nRUN echo --mount=type=ssh\n").needs_session(), None);
}

#[test]
fn the_lines_of_a_here_document_are_no_instructions() {
    let text = "FROM a\nRUN <<EOF\nFROM b\nRUN c\nEOF\nCOPY <<\"A\" <<-B /x/\nRUN\nA\n\tRUN\n\tB\nRUN d\n";
    let lines: Vec<usize> = Dockerfile::read("d", text).instructions.iter().map(|i| i.line).collect();
    assert_eq!(lines, [1, 2, 6, 11]);
}

#[test]
fn files_that_are_no_dockerfiles_are_read_without_a_panic() {
    for text in ["", "\\", "FROM", "RUN \\\n", "#", "\u{feff}FROM a\r\nRUN b\\\r\n c\r\n", "FROM ${", "ARG \"\nFROM $"]
    {
        let read = Dockerfile::read("d", text);
        read.images(0, &BTreeMap::new());
        read.buildkit("[1/1] RUN");
    }
}
