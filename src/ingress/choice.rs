//! Which instance gets a request: the least loaded of those that are not ejected. Pure.

/// What the choice knows of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Requests in flight, of all cores.
    pub(super) load: u64,
    /// It refused connections and is not due for a probe.
    pub(super) ejected: bool,
    /// This request was refused by it already.
    pub(super) tried: bool,
}

/// The index of the best candidate; `None` when all were tried. Ties go to the first at or after `start` in the ring,
/// so that a moving `start` spreads them. When all are ejected the ejection counts for nothing.
pub(super) fn choose(candidates: impl ExactSizeIterator<Item = Candidate>, start: usize) -> Option<usize> {
    let count = candidates.len();
    let distance = |index: usize| if index >= start { index - start } else { index + count - start };
    candidates
        .enumerate()
        .filter(|(_, candidate)| !candidate.tried)
        .min_by_key(|(index, candidate)| (candidate.ejected, candidate.load, distance(*index)))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates() -> impl Strategy<Value = (Vec<Candidate>, usize)> {
        let one = (0u64..5, any::<bool>(), any::<bool>()).prop_map(|(load, ejected, tried)| Candidate {
            load,
            ejected,
            tried,
        });
        prop::collection::vec(one, 1..9).prop_flat_map(|list| {
            let length = list.len();
            (Just(list), 0..length)
        })
    }

    proptest! {
        #[test]
        fn the_choice_is_never_beaten_and_never_tried((list, start) in candidates()) {
            match choose(list.iter().copied(), start) {
                None => prop_assert!(list.iter().all(|c| c.tried)),
                Some(index) => {
                    let best = list[index];
                    prop_assert!(!best.tried);
                    for other in list.iter().filter(|c| !c.tried) {
                        prop_assert!((best.ejected, best.load) <= (other.ejected, other.load));
                    }
                }
            }
        }
    }

    #[test]
    fn equal_candidates_take_turns() {
        let equal = [Candidate { load: 1, ejected: false, tried: false }; 3];
        let turns: Vec<_> = (0..3).map(|start| choose(equal.into_iter(), start)).collect();
        assert_eq!(turns, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn the_last_instance_is_chosen_although_it_is_ejected() {
        let only = [Candidate { load: 9, ejected: true, tried: false }];
        assert_eq!(choose(only.into_iter(), 0), Some(0));
    }
}
