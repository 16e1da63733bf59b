//! Whether the deploy windows let a service change now, and when they do next.
//!
//! A window that denies wins over all that allow; where any allows, only those do. Healing and what changes in place
//! (scaling, health checks, deadlines, tags) are never held.

use crate::desired::DeclaredWindow;
use crate::model::{Place, ServiceName, Timestamp, WindowEffect};

/// So many boundaries are followed until one is found at which a service may change: windows that deny each other's gaps
/// for longer are closed for good.
const MOST_BOUNDARIES: usize = 2000;

/// Why a service may not change now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The window that denies it, or the first that will allow it.
    pub place: Place,
    /// When it may change again; `None` where that is not to be foreseen.
    pub until: Option<Timestamp>,
    /// The same as the window's own clocks show it.
    pub shown: String,
}

/// Why a service may not change now; `None`: it may.
pub fn closed(windows: &[DeclaredWindow], service: &ServiceName, now: Timestamp) -> Option<Closed> {
    let ours: Vec<&DeclaredWindow> = windows.iter().filter(|w| w.window.concerns(service)).collect();
    let (why, mut change) = barred(&ours, now)?;
    let until = loop_until(&ours, &mut change);
    let shown = until.map_or_else(|| "further notice".into(), |until| why.window.zone.show(until));
    Some(Closed { place: why.place.clone(), until, shown })
}

/// Follows one boundary after the other until nothing bars.
fn loop_until(windows: &[&DeclaredWindow], change: &mut Option<Timestamp>) -> Option<Timestamp> {
    for _ in 0..MOST_BOUNDARIES {
        let at = (*change)?;
        match barred(windows, at) {
            None => return Some(at),
            Some((_, next)) => *change = next,
        }
    }
    None
}

/// What bars at a moment, and when that changes.
fn barred<'w>(windows: &[&'w DeclaredWindow], at: Timestamp) -> Option<(&'w DeclaredWindow, Option<Timestamp>)> {
    let of = |effect: WindowEffect| windows.iter().copied().filter(move |w| w.window.effect == effect);
    let denied = of(WindowEffect::Deny).filter_map(|w| Some((w.window.ends(at)?, w))).max_by_key(|(end, _)| *end);
    if let Some((end, window)) = denied {
        return Some((window, Some(end)));
    }
    if of(WindowEffect::Allow).any(|w| w.window.ends(at).is_some()) {
        return None;
    }
    // Where none allows anything, nothing has to.
    let opens = |w: &'w DeclaredWindow| (w.window.begins.next(at, &w.window.zone), w);
    let first = of(WindowEffect::Allow).map(opens).min_by_key(|(next, _)| next.map_or(i64::MAX, |next| next.0))?;
    Some((first.1, first.0))
}

#[cfg(test)]
#[path = "windows/tests.rs"]
mod tests;
