//! What breaks: the control plane, the ingress, shims, applications, builds, sources, the store; each at any moment. What
//! served goes on serving, a person is told where they look, and the end is as declared.

mod application;
mod clock;
mod crash;
mod disk;
mod loss;
pub mod node;
mod outside;
mod panics;
mod processes;
mod reboot;
mod release;
mod site;
mod user;
