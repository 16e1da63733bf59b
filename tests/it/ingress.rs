//! The real ingress process, driven through the control plane's handle, in front of real applications.

mod app;
mod hostile;
mod lifecycle;
mod proxying;
mod routing;
mod switching;
mod world;
