//! Redis: alive, behind a password, and without its primary.

use crate::servers::{free_port, redis, sshd};
use crate::{assert_failed, assert_passed, local, probe};
use model::check::{CheckKind, RedisCheck, TextTest};
use model::observation::Cause;
use model::secret::Secret;

#[tokio::test]
async fn redis_answers_ping_and_commands() {
    let Some(server) = redis::start(&[]) else { return };
    assert_passed(&probe(redis_check(server.port, None, &[], None)).await);
    let role = ["CONFIG", "GET", "maxmemory-policy"];
    assert_passed(&probe(redis_check(server.port, None, &role, Some("noeviction"))).await);
    let measured = probe(redis_check(server.port, None, &role, Some("allkeys-lru"))).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("does not contain \"allkeys-lru\""));
    let measured = probe(redis_check(server.port, None, &["NONSENSE"], None)).await;
    assert!(assert_failed(&measured, Cause::Answer).contains("unknown command"));
}

#[tokio::test]
async fn redis_with_a_password_is_alive_without_it_but_commands_need_it() {
    let Some(server) = redis::start(&["--requirepass", "right"]) else { return };
    let measured = probe(redis_check(server.port, None, &[], None)).await;
    assert_passed(&measured);
    assert!(measured.detail.evidence.status.is_some_and(|status| status.starts_with("NOAUTH")));
    assert_failed(&probe(redis_check(server.port, None, &["DBSIZE"], None)).await, Cause::Login);
    assert_passed(&probe(redis_check(server.port, Some("right"), &["DBSIZE"], Some("0"))).await);
    let measured = probe(redis_check(server.port, Some("wrong"), &[], None)).await;
    let sentence = assert_failed(&measured, Cause::Login);
    assert!(sentence.contains("WRONGPASS") && !sentence.contains("\"wrong\""), "{sentence}");
}

#[tokio::test]
async fn a_redis_replica_without_its_primary_fails() {
    let dead = free_port().to_string();
    let options = ["--replicaof", "127.0.0.1", &dead, "--replica-serve-stale-data", "no"];
    let Some(server) = redis::start(&options) else { return };
    let measured = probe(redis_check(server.port, None, &["DBSIZE"], None)).await;
    assert!(assert_failed(&measured, Cause::Status).contains("MASTERDOWN"));
}

#[tokio::test]
async fn a_server_that_is_not_redis_is_told_apart() {
    let Some(server) = sshd::start(&["ed25519"]) else { return };
    let measured = probe(redis_check(server.port, None, &[], None)).await;
    assert!(assert_failed(&measured, Cause::Protocol).contains("does not speak the Redis protocol"));
}

fn redis_check(port: u16, password: Option<&str>, command: &[&str], contains: Option<&str>) -> CheckKind {
    CheckKind::Redis(Box::new(RedisCheck {
        target: local(port),
        user: None,
        password: password.map(|text| Secret::Inline(text.to_owned())),
        tls: None,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        test: contains.map(|text| TextTest::Contains(text.to_owned())),
    }))
}
