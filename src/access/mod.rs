//! Who may do what, and who did: users with access keys, signatures of requests, policies and their evaluation, the audit trail.
//!
//! Imports `model` and `store`. In: requests as they came, what is stored. Out: who calls, and whether they may. The state is
//! kept whole in memory and written through. Signatures and policies are pure; must not know what operations do.

mod administration;
mod administrator;
pub mod audit;
mod authority;
mod caller;
mod declared;
mod directory;
mod endpoint;
mod error;
mod keys;
pub mod policy;
mod rights;
mod service_role;
mod session;
pub mod signature;
mod vault;

pub use administration::Attached;
pub use authority::{Access, Place};
pub use caller::{Caller, Identity, Session};
pub use declared::{Done, Wanted, What};
pub use directory::{AccessKey, Directory, Group, KeyStatus, Policy, Role, Sort, User};
pub use endpoint::Endpoint;
pub use error::{AccessError, Code};
pub use rights::RequestFacts;
pub use service_role::INSTANCES;
pub use session::{AssumeRole, Temporary};
pub use signature::SignatureFault;
pub use vault::Vault;
