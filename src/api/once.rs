//! Answers that are given again. A client that got no answer sends its call again, under the same name
//! (`amz-sdk-invocation-id`): what was done then is not done twice, and what was answered is answered again.
//!
//! Bounded in number and age, and in memory only: after a restart a call that comes again is a new one.

use super::errors::ApiError;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is kept; clients try again within seconds.
const KEPT: Duration = Duration::from_secs(600);
/// How many are kept.
const MOST: usize = 4096;
/// The longest name of a call.
const LONGEST_NAME: usize = 128;

/// What a call is known by: who makes it, its name, and what it asks.
pub(super) type Key = [u8; 32];
/// The answer of a call, once it has one. Held while the call is answered, so that another attempt waits for it.
pub(super) type Turn = Arc<tokio::sync::Mutex<Option<Value>>>;

/// The answers of the last minutes.
#[derive(Default)]
pub(super) struct Answers {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    turns: HashMap<Key, Turn>,
    order: VecDeque<(Instant, Key)>,
}

/// The key of a call that has a name.
pub(super) fn key(caller: &str, invocation: &str, target: &str, input: &Value) -> Option<Key> {
    if !(1..=LONGEST_NAME).contains(&invocation.len()) {
        return None;
    }
    let mut hash = Sha256::new();
    for part in [caller, invocation, target, &input.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Some(hash.finalize().into())
}

impl Answers {
    /// The turn of a call, shared by all its attempts.
    pub fn turn(&self, key: Key, now: Instant) -> Turn {
        // Every change is one insertion or removal: a panic cannot leave them half changed.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.order.front().is_some_and(|(at, _)| now - *at > KEPT) || kept.order.len() >= MOST {
            let Some((_, old)) = kept.order.pop_front() else { break };
            kept.turns.remove(&old);
        }
        if let Some(turn) = kept.turns.get(&key) {
            return turn.clone();
        }
        let turn = Turn::default();
        kept.turns.insert(key, turn.clone());
        kept.order.push_back((now, key));
        turn
    }
}

/// Answers a call once: another attempt at it gets the answer of the first. Errors are not kept: what failed is tried again.
pub(super) async fn once(turn: Turn, answer: impl Future<Output = Result<Value, ApiError>>) -> Result<Value, ApiError> {
    let mut answered = turn.lock().await;
    if let Some(answer) = &*answered {
        return Ok(answer.clone());
    }
    let answer = answer.await?;
    *answered = Some(answer.clone());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::control::Refusal;
    use serde_json::json;

    #[tokio::test]
    async fn an_answer_is_given_again_and_an_error_is_tried_again() {
        let (answers, name) = (Answers::default(), key("me", "one", "AppRunner.CreateService", &json!({})).unwrap());
        let refused =
            once(answers.turn(name, Instant::now()), async { Err(Refusal::Internal("no".into()).into()) }).await;
        assert!(refused.is_err());
        assert_eq!(once(answers.turn(name, Instant::now()), async { Ok(json!(1)) }).await.unwrap(), 1);
        assert_eq!(once(answers.turn(name, Instant::now()), async { Ok(json!(2)) }).await.unwrap(), 1);
    }

    #[test]
    fn a_call_is_known_by_who_makes_it_its_name_and_what_it_asks() {
        let call = |who, name, target, body: Value| key(who, name, target, &body);
        let one = call("me", "one", "T", json!({ "A": 1 }));
        assert_eq!(one, call("me", "one", "T", json!({ "A": 1 })));
        for other in [
            call("you", "one", "T", json!({ "A": 1 })),
            call("me", "two", "T", json!({ "A": 1 })),
            call("me", "one", "U", json!({ "A": 1 })),
            call("me", "one", "T", json!({ "A": 2 })),
        ] {
            assert!(other.is_some() && other != one);
        }
        assert_eq!(call("me", "", "T", json!({})), None);
        assert_eq!(call("me", &"x".repeat(129), "T", json!({})), None);
    }

    #[tokio::test]
    async fn answers_go_with_time_and_there_are_never_too_many() {
        let answers = Answers::default();
        let now = Instant::now();
        let nth = |n: usize| key("me", &n.to_string(), "T", &json!({})).unwrap();
        once(answers.turn(nth(0), now), async { Ok(json!(1)) }).await.unwrap();
        for n in 1..=MOST {
            answers.turn(nth(n), now);
        }
        assert_eq!(answers.kept.lock().unwrap().turns.len(), MOST);
        assert_eq!(once(answers.turn(nth(0), now), async { Ok(json!(2)) }).await.unwrap(), 2, "the oldest went");
        answers.turn(nth(1), now + KEPT + Duration::from_secs(1));
        assert_eq!(answers.kept.lock().unwrap().turns.len(), 1);
    }
}
