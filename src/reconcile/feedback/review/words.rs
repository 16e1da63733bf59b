//! What is said on a pull request against the manifest. Pure.

use crate::model::{CommitId, Problem, Severity};
use crate::observed::Observed;
use crate::plan::{MOST_BYTES, NoteKind, Plan, Report, render_markdown, render_problems_markdown};

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can be merged as far as the manifest goes.
    Good,
    /// The manifest would not be put in force.
    Bad,
}

impl Verdict {
    /// As the conclusion of a check run, and as the state of a commit status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "success",
            Self::Bad => "failure",
        }
    }
}

/// Everything that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The check's verdict.
    pub verdict: Verdict,
    /// One line.
    pub title: String,
    /// The comment, without its marker.
    pub text: String,
}

/// What was planned: of which merge.
#[derive(Clone, Debug)]
pub struct Of<'a> {
    /// The head of the pull request.
    pub head: &'a CommitId,
    /// The commit of the manifest in force.
    pub base: &'a CommitId,
    /// Whether the two can be merged without a person.
    pub clean: bool,
    /// The branch.
    pub branch: &'a str,
}

/// Of a plan.
pub fn of_plan(plan: &Plan, report: &Report, observed: &Observed, of: &Of) -> Said {
    let changes = plan.changes.iter().filter(|c| c.action.operation().is_some()).count();
    let people = report.notes.iter().filter(|n| n.kind == NoteKind::NeedsPerson).count();
    let mut title = match changes {
        0 => "Nothing would change".to_owned(),
        1 => "1 service would change".to_owned(),
        n => format!("{n} services would change"),
    };
    if people > 0 {
        title += ", something needs you";
    }
    Said { verdict: Verdict::Good, title, text: with_footer(render_markdown(plan, report, observed), of) }
}

/// Of a manifest that is not valid.
pub fn of_problems(problems: &[Problem], of: &Of) -> Said {
    let errors: Vec<&Problem> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    let title = match errors.as_slice() {
        [only] => format!("{}: {}", only.place.to_spot(), only.message),
        more => format!("The manifest has {} errors", more.len()),
    };
    let errors: Vec<Problem> = errors.into_iter().cloned().collect();
    Said { verdict: Verdict::Bad, title, text: with_footer(render_problems_markdown(&errors), of) }
}

/// Of a commit that cannot be read.
pub fn of_failure(why: &str, of: &Of) -> Said {
    let why: String = why.chars().take(1000).map(|c| if c == '`' || c.is_control() { ' ' } else { c }).collect();
    let text = format!("### towpath plan: none\n\nThe manifest of this pull request cannot be read:\n\n`{why}`\n");
    Said { verdict: Verdict::Bad, title: "The manifest cannot be read".into(), text: with_footer(text, of) }
}

/// Says which state was planned; what has no room for that goes without.
fn with_footer(text: String, of: &Of) -> String {
    let (head, base, branch) = (of.head.short(), of.base.short(), of.branch);
    // A branch name may have any character but those that git forbids: `` ` `` among them.
    let branch = branch.replace(['`', '<', '@'], "");
    let of = match of.clean {
        true => format!("Of {head} merged into `{branch}` at {base}, against what runs now. Nothing of it was run."),
        false => format!(
            "Of {head} alone: it has conflicts with `{branch}` at {base}. Against what runs now; nothing of it was run."
        ),
    };
    let whole = format!("{text}\n<sub>{of}</sub>\n");
    // The marker stands before it.
    if whole.len() + 200 > MOST_BYTES { text } else { whole }
}

/// The end of a comment once its pull request was merged.
pub fn merged(commit: &CommitId, moved: &[String]) -> String {
    match moved {
        [] => format!("\n**Merged** and in force as {}, as planned here.\n", commit.short()),
        moved => {
            let list: String = moved.iter().take(50).map(|line| format!("- {}\n", plain(line))).collect();
            format!("\n**Merged** and in force as {}. Since this plan something moved:\n\n{list}", commit.short())
        }
    }
}

/// A sentence with names in backticks, on one line and without HTML or mentions.
fn plain(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() || c == '<' || c == '@' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Place, Timestamp};

    fn of<'a>(head: &'a CommitId, base: &'a CommitId, branch: &'a str) -> Of<'a> {
        Of { head, base, clean: true, branch }
    }

    fn ids() -> (CommitId, CommitId) {
        ("a".repeat(40).parse().unwrap(), "b".repeat(40).parse().unwrap())
    }

    fn problem(message: &str) -> Problem {
        Problem {
            class: "x".into(),
            severity: Severity::Error,
            message: message.into(),
            place: Place { file: "prod/towpath.yaml".into(), line: 3, column: 5 },
            length: 1,
            hint: None,
            source_line: None,
        }
    }

    #[test]
    fn a_problem_is_said_with_its_place() {
        let (head, base) = ids();
        let said = of_problems(&[problem("`sourc` is not a key")], &of(&head, &base, "main"));
        assert_eq!(said.verdict, Verdict::Bad);
        assert!(said.title.starts_with("prod/towpath.yaml:3"), "{}", said.title);
        assert!(
            said.text.contains("prod/towpath.yaml:3") && said.text.contains("aaaaaaa merged into `main` at bbbbbbb")
        );
    }

    #[test]
    fn the_name_of_a_branch_cannot_leave_its_place() {
        let (head, base) = ids();
        let plan = Plan { manifest: None, at: Timestamp(0), changes: Vec::new() };
        let observed = Observed {
            services: Vec::new(),
            heads: Vec::new(),
            engine: crate::observed::EngineView::Answered { name: "process".into() },
            strays: Vec::new(),
            host_memory: None,
            vetted: Vec::new(),
        };
        let said = of_plan(&plan, &Report::default(), &observed, &of(&head, &base, "x`<script>@acme"));
        assert!(said.text.contains("`xscript>acme`"), "{}", said.text);
        assert_eq!(said.title, "Nothing would change");
    }

    #[test]
    fn a_comment_stays_below_what_github_takes() {
        let (head, base) = ids();
        let many: Vec<Problem> = (0..5000).map(|n| problem(&format!("{n} {}", "x".repeat(100)))).collect();
        let said = of_problems(&many, &of(&head, &base, "main"));
        assert!(said.text.len() < MOST_BYTES, "{}", said.text.len());
    }
}
