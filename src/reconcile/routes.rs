//! From records and health to what the ingress is told, pure.

use crate::link::{Backend, EntryState, ServiceEntry};
use crate::model::{InstanceId, InstanceRole, ServiceRecord};
use crate::observed::Health;
use crate::store::World;
use std::collections::{BTreeMap, BTreeSet};

/// What routing depends on beside the stored state.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    /// The verdict of active checks; an instance without one counts as healthy.
    pub health: BTreeMap<InstanceId, Health>,
    /// Instances that the engine says have ended or are gone. Never routed: another may get their address.
    pub ended: BTreeSet<InstanceId>,
}

/// The hosts of a service: its alias and its default domain (row I7).
pub fn hosts(record: &ServiceRecord, region: &str, base_domain: &str) -> Vec<String> {
    vec![format!("{}.{base_domain}", record.name.host_label()), format!("{}.{region}.{base_domain}", record.label)]
}

/// The entry of a service. Unhealthy instances are left out unless none other is left: a wrong verdict must not take a
/// service down.
pub fn entry(world: &World, record: &ServiceRecord, live: &Liveness, region: &str, base_domain: &str) -> ServiceEntry {
    ServiceEntry {
        service: record.id.clone(),
        name: record.name.clone(),
        hosts: hosts(record, region, base_domain),
        state: state(world, record, live),
    }
}

fn state(world: &World, record: &ServiceRecord, live: &Liveness) -> EntryState {
    let unavailable = |message: &str| EntryState::Unavailable { message: message.into() };
    if record.paused.is_some() {
        return unavailable("This service is paused.");
    }
    let there: Vec<(Backend, bool)> = world
        .instances
        .values()
        .filter(|i| i.service == record.id && i.role == InstanceRole::Serving && !live.ended.contains(&i.id))
        .filter_map(|i| Some((Backend { instance: i.id.clone(), address: i.address? }, is_healthy(live, &i.id))))
        .collect();
    let any_healthy = there.iter().any(|(_, healthy)| *healthy);
    let backends: Vec<Backend> = there.into_iter().filter(|(_, h)| *h || !any_healthy).map(|(b, _)| b).collect();
    // A newer commit or declaration may be on its way while the last one failed.
    let failed = record.create_failed.is_some() && world.open_operation(&record.id).is_none();
    match (backends.is_empty(), record.current) {
        (false, _) => EntryState::Serving { backends },
        (true, Some(_)) => unavailable("No instance of this service is running. One is being started."),
        (true, None) if failed => unavailable("This service could not be created. Its logs say why."),
        (true, None) => unavailable("This service is being created."),
    }
}

fn is_healthy(live: &Liveness, id: &InstanceId) -> bool {
    !matches!(live.health.get(id), Some(Health::Unhealthy { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HostLabel, InstanceRecord, Owner, Pause, RevisionNumber, ServiceId, Timestamp};

    fn record() -> ServiceRecord {
        let (id, label) = (ServiceId::from_random([1; 16]), HostLabel::from_random([0; 10]));
        let created = ServiceRecord::created(id, "my_Shop".parse().unwrap(), label, Owner::Declared, Timestamp(0));
        ServiceRecord { current: Some(RevisionNumber(1)), next_revision: 2, ..created }
    }

    fn world(roles: &[(u8, InstanceRole)]) -> World {
        let mut world = World::default();
        for (n, role) in roles {
            let id = InstanceId::from_random([*n; 16]);
            let instance = InstanceRecord {
                id: id.clone(),
                service: ServiceId::from_random([1; 16]),
                revision: RevisionNumber(1),
                operation: None,
                role: *role,
                address: Some(([127, 0, 0, 1], u16::from(*n)).into()),
                created_at: Timestamp(0),
            };
            world.instances.insert(id, instance);
        }
        world
    }

    fn ports(state: &EntryState) -> Vec<u16> {
        match state {
            EntryState::Serving { backends } => backends.iter().map(|b| b.address.port()).collect(),
            EntryState::Unavailable { .. } => vec![],
        }
    }

    #[test]
    fn only_serving_instances_are_routed() {
        let world = world(&[(1, InstanceRole::Serving), (2, InstanceRole::Starting), (3, InstanceRole::Retiring)]);
        let entry = entry(&world, &record(), &Liveness::default(), "local-1", "localhost");
        assert_eq!(ports(&entry.state), [1]);
        assert_eq!(entry.hosts, ["my-shop.localhost", "aaaaaaaaaa.local-1.localhost"]);
    }

    #[test]
    fn an_unhealthy_instance_is_left_out_unless_it_is_the_last() {
        let world = world(&[(1, InstanceRole::Serving), (2, InstanceRole::Serving)]);
        let sick = |n: u8| (InstanceId::from_random([n; 16]), Health::Unhealthy { message: "answered 500".into() });
        let one = Liveness { health: [sick(1)].into(), ..Liveness::default() };
        assert_eq!(ports(&state(&world, &record(), &one)), [2]);
        let both = Liveness { health: [sick(1), sick(2)].into(), ..Liveness::default() };
        assert_eq!(ports(&state(&world, &record(), &both)), [1, 2]);
    }

    #[test]
    fn an_ended_instance_is_never_routed_not_even_as_the_last() {
        let world = world(&[(1, InstanceRole::Serving)]);
        let live = Liveness { ended: [InstanceId::from_random([1; 16])].into(), ..Liveness::default() };
        assert_eq!(ports(&state(&world, &record(), &live)), [0u16; 0]);
    }

    #[test]
    fn a_service_that_is_built_anew_after_a_failure_is_being_created() {
        use crate::model::{Cause, Class, Failure, Operation, OperationId, OperationKind, OperationTarget, Reason};
        let failure = Failure { reason: Reason::BuildFailed, class: Class::Stalled, message: "no".into(), step: None };
        let failed = ServiceRecord { current: None, create_failed: Some(failure), ..record() };
        let says = |world: &World| match state(world, &failed, &Liveness::default()) {
            EntryState::Unavailable { message } => message,
            other => panic!("{other:?}"),
        };
        assert!(says(&World::default()).contains("could not be created"));
        let mut busy = World::default();
        let target = OperationTarget { spec: None, commit: None, revision: None, in_place: false };
        let (id, cause) = (OperationId::from_random([7; 16]), Cause::Manifest { place: "towpath.yaml:2".into() });
        let kind = OperationKind::UpdateService;
        let operation = Operation::accepted(id, failed.id.clone(), kind, cause, target, Timestamp(0));
        busy.apply(vec![crate::store::Write::PutOperation(Box::new(operation))]);
        assert!(says(&busy).contains("being created"));
    }

    #[test]
    fn a_paused_service_says_so() {
        let mut paused = record();
        paused.paused = Some(Pause { principal: "local:root".into(), reason: None, at: Timestamp(0) });
        let state = state(&world(&[(1, InstanceRole::Serving)]), &paused, &Liveness::default());
        assert_eq!(state, EntryState::Unavailable { message: "This service is paused.".into() });
    }
}
