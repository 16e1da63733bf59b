//! What was said of a service's operations, and what comes next. Pure.
//!
//! The operations themselves are the queue: what is kept beside them is how far they were told. So nothing is lost by a
//! crash, nothing piles up, and of what happened while GitHub was away only what still matters is said. Before anything
//! is asked of GitHub that is written down; where no answer came, it is looked for before it is asked again.

use super::report::{Stage, deploys};
use crate::model::{Operation, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An operation that began this short a while ago may have ended before its beginning is told.
const SETTLE: Duration = Duration::from_secs(1);
/// How many operations that were never told of are caught up on; of older ones nothing is said.
const MOST_BEHIND: usize = 10;
/// An operation that ended longer ago than this is news to nobody where a service begins to report.
const NEWS: Duration = Duration::from_secs(600);
/// How often one thing is tried, and how long is rested in between: this, doubled each time.
const MOST_TRIES: u32 = 12;
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(600);

/// What was said of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbox {
    /// Of operations up to this one nothing is to be said any more.
    pub through: u64,
    /// What was said of later ones.
    pub told: BTreeMap<u64, Told>,
}

/// What was said of one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// GitHub's id of its deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
    /// The last commit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Stage>,
    /// The last status of the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Stage>,
    /// What was asked for, and may have been done or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Act>,
    /// Ways of saying it that GitHub refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Way>,
    /// How often it failed in a row.
    #[serde(default)]
    pub tries: u32,
    /// Until when it rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_until: Option<Timestamp>,
}

/// A way of saying something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// The status of the commit.
    Status,
    /// A deployment with its statuses.
    Deployment,
}

/// One thing to ask of GitHub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Makes the deployment.
    Deploy,
    /// Says the commit's status.
    Status(Stage),
    /// Says the deployment's status.
    Deployed(Stage),
}

impl Act {
    /// The way that it goes.
    pub fn way(self) -> Way {
        match self {
            Self::Status(_) => Way::Status,
            Self::Deploy | Self::Deployed(_) => Way::Deployment,
        }
    }
}

/// What comes next of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something is to be said of the operation with this number.
    Say {
        /// The operation.
        number: u64,
        /// What.
        act: Act,
        /// Whether it may have been said already.
        look_first: bool,
    },
    /// Nothing before this moment.
    Rest(Timestamp),
    /// Nothing.
    Done,
}

impl Outbox {
    /// Of a service that begins to report: what ended a while ago is passed over.
    pub fn begin(operations: &[&Operation], now: Timestamp) -> Self {
        let old = |o: &&&Operation| o.status.is_final() && o.ended_at.is_none_or(|end| now.since(end) > NEWS);
        let through = operations.iter().filter(old).map(|o| o.number).max().unwrap_or(0);
        Self { through, told: BTreeMap::new() }
    }

    /// Passes over what needs no saying any more. `operations` are those of the service.
    pub fn pass_over(&mut self, operations: &[&Operation]) {
        let mut untold: Vec<u64> = operations
            .iter()
            .filter(|o| o.number > self.through && !self.told.contains_key(&o.number) && deploys(o))
            .map(|o| o.number)
            .collect();
        untold.sort_unstable();
        let excess = untold.len().saturating_sub(MOST_BEHIND);
        let too_old: Vec<u64> = untold.drain(..excess).collect();
        let mut ahead: Vec<&&Operation> = operations.iter().filter(|o| o.number > self.through).collect();
        ahead.sort_by_key(|o| o.number);
        for operation in ahead {
            if !self.is_through(operation) && !too_old.contains(&operation.number) {
                break;
            }
            self.through = operation.number;
        }
        let through = self.through;
        self.told.retain(|number, _| *number > through);
    }

    /// Whether all is said of an operation that ever will be.
    fn is_through(&self, operation: &Operation) -> bool {
        let ended = operation.status.is_final();
        if !deploys(operation) || (ended && operation.target.commit.is_none() && operation.target.revision.is_none()) {
            return ended;
        }
        let Some(stage) = Stage::of(operation).filter(|_| ended) else { return false };
        match self.told.get(&operation.number) {
            // Nobody heard of it, and nothing came of it.
            None => matches!(stage, Stage::Superseded | Stage::Cancelled),
            Some(told) => told.tries > MOST_TRIES || told.next(stage).is_none(),
        }
    }

    /// What is to be said next, in the order of the operations. `is_known` tells whether the commit of one is.
    pub fn next(&self, operations: &[&Operation], is_known: impl Fn(&Operation) -> bool, now: Timestamp) -> Next {
        let mut ahead: Vec<&&Operation> = operations.iter().filter(|o| o.number > self.through && deploys(o)).collect();
        ahead.sort_by_key(|o| o.number);
        for operation in ahead {
            let Some(stage) = Stage::of(operation).filter(|_| is_known(operation)) else { continue };
            let nothing = Told::default();
            let told = self.told.get(&operation.number).unwrap_or(&nothing);
            let passed_by = told == &nothing && matches!(stage, Stage::Superseded | Stage::Cancelled);
            let Some(act) = told.next(stage).filter(|_| !passed_by && told.tries <= MOST_TRIES) else { continue };
            if let Some(until) = told.rest_until.filter(|until| *until > now) {
                return Next::Rest(until);
            }
            let settled = operation.started_at.unwrap_or(operation.created_at).plus(SETTLE);
            if stage == Stage::InProgress && settled > now && told == &nothing {
                return Next::Rest(settled);
            }
            return Next::Say { number: operation.number, act, look_first: told.asked.is_some() };
        }
        Next::Done
    }

    /// What is known of an operation, to be changed.
    pub fn told(&mut self, number: u64) -> &mut Told {
        self.told.entry(number).or_default()
    }
}

impl Told {
    /// What is to be said of an operation that is at this stage.
    fn next(&self, stage: Stage) -> Option<Act> {
        // What may have been done is found out first, even if it is not wanted any more.
        if let Some(asked) = self.asked.filter(|asked| !self.refused.contains(&asked.way())) {
            return Some(asked);
        }
        let open = |way: Way| !self.refused.contains(&way);
        if open(Way::Deployment) && self.deployment.is_none() {
            return Some(Act::Deploy);
        }
        if open(Way::Status) && self.status != Some(stage) {
            return Some(Act::Status(stage));
        }
        (open(Way::Deployment) && self.deployed != Some(stage)).then_some(Act::Deployed(stage))
    }

    /// Takes note that something was done; `deployment` is the id of a new one.
    pub fn done(&mut self, act: Act, deployment: Option<u64>) {
        match act {
            Act::Deploy => self.deployment = deployment,
            Act::Status(stage) => self.status = Some(stage),
            Act::Deployed(stage) => self.deployed = Some(stage),
        }
        (self.asked, self.tries, self.rest_until) = (None, 0, None);
    }

    /// Takes note that something was refused, which is never tried again.
    pub fn refused(&mut self, way: Way) -> bool {
        (self.asked, self.tries, self.rest_until) = (None, 0, None);
        self.refused.push(way);
        true
    }

    /// Takes note of a try in vain; whether it was the last. `random` is from 0 to 1.
    pub fn failed(&mut self, perhaps_done: bool, not_before: Option<Timestamp>, now: Timestamp, random: f64) -> bool {
        if !perhaps_done {
            self.asked = None;
        }
        let rest = FIRST_REST.saturating_mul(1 << self.tries.min(16)).min(LONGEST_REST).mul_f64(0.75 + random / 2.0);
        self.tries += 1;
        let until = now.plus(rest);
        self.rest_until = Some(not_before.map_or(until, |at| at.plus(FIRST_REST.mul_f64(random)).max(until)));
        self.tries > MOST_TRIES
    }
}
