//! Deaths and returns of both processes.

use super::app::App;
use super::world::*;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use towpath::link::{Drained, IngressHandle, LinkError};

#[tokio::test]
async fn a_killed_ingress_serves_again_within_a_second_and_no_later_connection_fails() {
    let app = App::named("app").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    for _ in 0..2 {
        let (killed, began) = (world.kill_ingress(), Instant::now());
        assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "app");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        eventually("the link stands again", || world.handle().status().pid.is_some_and(|pid| pid != killed)).await;
    }
    assert_eq!(world.handle().status().losses, 2);
    let other = App::named("other").await;
    world.put(on("shop", &[&other])).await;
    assert_eq!(body(&get(world.address(), "shop.localhost", "/").await), "other");
    assert_eq!(world.handle().drained(std::slice::from_ref(&app.instance), SOON).await, Drained::Empty);
}

#[tokio::test]
async fn the_ingress_serves_on_without_a_control_plane_and_is_adopted_with_its_listeners() {
    let (app, new) = (App::named("app").await, App::named("new").await);
    let mut world = World::serving(vec![on("shop", &[&app])]).await;
    let (pid, address, before) = (world.pid(), world.address(), world.handle().status().applied);
    world.lose_control_plane();
    assert_eq!(body(&get(address, "shop.localhost", "/").await), "app");
    world.restart_control_plane().await;
    assert_eq!((world.pid(), world.address()), (pid, address));
    // Published, but not ready: the running table is not touched by half of a new one.
    let generation = world.handle().publish(on("shop", &[&new]));
    assert!(generation > before);
    assert!(world.handle().acknowledged(generation, Duration::from_millis(200)).await.is_err());
    assert_eq!(body(&get(address, "shop.localhost", "/").await), "app");
    world.handle().ready();
    world.handle().acknowledged(generation, SOON).await.unwrap();
    assert_eq!(body(&get(address, "shop.localhost", "/").await), "new");
    assert_eq!(world.handle().drained(std::slice::from_ref(&app.instance), SOON).await, Drained::Empty);
    // The duplicates that came back bring the next ingress up on the same port.
    world.kill_ingress();
    assert_eq!(body(&get(address, "shop.localhost", "/").await), "new");
}

#[tokio::test]
async fn an_ingress_that_was_killed_before_its_control_plane_came_back_serves_its_snapshot() {
    let app = App::named("app").await;
    let mut world = World::serving(vec![on("shop", &[&app])]).await;
    let address = world.address();
    let pid = world.pid();
    world.lose_control_plane();
    kill(pid);
    world.config.http = vec![address];
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.restart_control_plane().await;
    let answer = get(address, "shop.localhost", "/").await;
    assert_eq!(body(&answer), "app", "before anything was published");
}

#[tokio::test]
async fn a_new_ingress_answers_503_until_the_control_plane_has_spoken() {
    let world = World::new().await;
    let answer = get(world.address(), "shop.localhost", "/").await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after"), "{answer}");
    world.settle(vec![]).await;
    assert_eq!(status(&get(world.address(), "shop.localhost", "/").await), 404);
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_refuses_what_comes() {
    let app = App::named("app").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let address = world.address();
    let running = tokio::spawn(async move { get(address, "shop.localhost", "/slow").await });
    eventually("it is in flight", || world.handle().in_flight(&app.instance) == Some(1)).await;
    let began = Instant::now();
    world.handle().stop(SOON).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(body(&running.await.unwrap()), "app");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!world.config.dir.join("snapshot.json").exists(), "its addresses will have new owners");
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_deadline() {
    let app = App::named("app").await;
    let world = World::serving(vec![on("shop", &[&app])]).await;
    let address = world.address();
    let running = tokio::spawn(async move { get(address, "shop.localhost", "/never").await });
    eventually("it is in flight", || world.handle().in_flight(&app.instance) == Some(1)).await;
    let began = Instant::now();
    world.handle().stop(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(running.await.unwrap(), "");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let world = World::serving(vec![]).await;
    let mut config = world.config.clone();
    (config.dir, config.http) = (world.config.dir.with_file_name("second"), vec![world.address()]);
    let error = IngressHandle::start(config).await.unwrap_err();
    assert!(matches!(error, LinkError::AddressInUse { address } if address == world.address()), "{error}");
}

#[tokio::test]
async fn a_second_ingress_on_a_directory_refuses_to_run() {
    let world = World::serving(vec![]).await;
    let mut command = Command::new(&world.config.exe);
    let output = command.arg("ingress").arg("--dir").arg(&world.config.dir).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another ingress runs on"), "{text}");
    assert_eq!(status(&get(world.address(), "a", "/").await), 404, "the first goes on");
}

#[tokio::test]
async fn an_ingress_that_cannot_start_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let mut config = world.config.clone();
    config.dir = directory.path().join("x");
    config.exe = "/bin/false".into();
    let error = IngressHandle::start(config).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("start the ingress") && cause.contains("exit status: 1"), "{error}: {cause}");
}

#[tokio::test]
async fn the_ingress_runs_in_a_session_of_its_own_and_holds_no_more_listeners_than_asked() {
    let world = World::serving(vec![]).await;
    let pid = world.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: u32 = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(session, pid);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.config.dir.join("link.sock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn started_as_root_it_becomes_the_user_it_is_told() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // The program must be reachable for that user.
    let directory = tempfile::tempdir().unwrap();
    let exe = directory.path().join("towpath");
    std::fs::copy(env!("CARGO_BIN_EXE_towpath"), &exe).unwrap();
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    open(directory.path());
    let world = World::with(|config| {
        open(config.dir.parent().unwrap());
        (config.user, config.exe) = (Some((65534, 65534)), exe);
    })
    .await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.pid())).unwrap();
    for line in ["Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534", "Groups:\t \n"] {
        assert!(status.contains(line), "{line:?} in {status}");
    }
    world.settle(vec![]).await;
}
