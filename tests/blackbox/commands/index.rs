//! `index verify` tells whether index and journal agree; `index rebuild` makes them.

use super::{done, refused, run, text};
use crate::harness::{ENGINES, Engine, Service};
use serde_json::Value;

fn index(service: &Service, command: &str) -> std::process::Output {
    run(&[
        "index",
        command,
        "--json",
        "--config",
        text(&service.configuration()),
    ])
}

async fn loaded_and_stopped(engine: Engine) -> Service {
    let mut service = Service::start(engine).await;
    service.deliver_world().await;
    service.terminate();
    service
}

fn counts(output: &std::process::Output) -> (u64, u64, u64) {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = |name: &str| told[name].as_u64().unwrap();
    (count("agreeing"), count("missing"), count("surplus"))
}

fn assert_agrees(service: &Service) {
    let output = index(service, "verify");
    let (agreeing, missing, surplus) = counts(&output);
    assert!(
        agreeing > 200 && (missing, surplus) == (0, 0),
        "{agreeing} {missing} {surplus}"
    );
    done(output);
}

#[tokio::test]
async fn an_index_as_it_was_left_agrees_and_can_be_rebuilt() {
    for engine in ENGINES {
        let mut service = loaded_and_stopped(engine).await;
        assert_agrees(&service);
        let rebuilt = index(&service, "rebuild");
        let told: Value = serde_json::from_slice(&rebuilt.stdout).unwrap();
        assert!(told["sets"].as_u64().unwrap() > 2 && told["gaps"] == 0, "{told}");
        done(rebuilt);
        assert_agrees(&service);
        service.start_again();
        service.wait_until_ready().await;
        assert!(
            !service.listed("01856867389").await.as_array().unwrap().is_empty(),
            "{engine:?}"
        );
    }
}

#[tokio::test]
async fn rows_lost_or_added_by_hand_are_told_and_mended() {
    let service = loaded_and_stopped(Engine::Redis).await;
    let redis = service.redis.as_ref().unwrap();
    let keys = redis.command(&["--no-raw", "KEYS", "{??}c*"]);
    assert!(keys.lines().count() > 50);
    let script = "local n = 0 for _, key in ipairs(redis.call('KEYS', '{??}c*')) do if n < 3 then n = n + 1 \
                  redis.call('DEL', key) end end return n";
    assert_eq!(redis.command(&["EVAL", script, "0"]).trim(), "3");
    let output = index(&service, "verify");
    let (_, missing, surplus) = counts(&output);
    assert!(missing >= 3 && surplus == 0, "{missing} {surplus}");
    assert!(refused(output).contains("index rebuild"));
    done(index(&service, "rebuild"));
    assert_eq!(counts(&index(&service, "verify")).1, 0);

    let copy = "local key = redis.call('KEYS', '{??}c*')[1] \
                local parts = redis.call('HGETALL', key) \
                local other = string.sub(key, 1, -2) .. string.char((string.byte(key, -1) + 1) % 256) \
                redis.call('HSET', other, parts[1], parts[2]) return 1";
    assert_eq!(redis.command(&["EVAL", copy, "0"]).trim(), "1");
    let output = index(&service, "verify");
    assert_eq!((counts(&output).1, counts(&output).2), (0, 1));
    refused(output);
    done(index(&service, "rebuild"));
    done(index(&service, "verify"));

    redis.command(&["FLUSHALL"]);
    refused(index(&service, "verify"));
    done(index(&service, "rebuild"));
    done(index(&service, "verify"));
}

#[tokio::test]
async fn an_index_that_is_in_use_by_the_service_is_left_to_it() {
    for engine in ENGINES {
        let service = Service::start(engine).await;
        let said = refused(index(&service, "rebuild"));
        assert!(said.contains("in use"), "{engine:?}: {said}");
        assert!(service.is_ready().await, "{engine:?}");
    }
}

#[tokio::test]
async fn somebody_elses_index_is_not_thrown_away() {
    let other = loaded_and_stopped(Engine::Redis).await;
    let service = loaded_and_stopped(Engine::Embedded).await;
    let redis = other.redis.as_ref().unwrap();
    let mut configured: toml::Table = std::fs::read_to_string(service.configuration())
        .unwrap()
        .parse()
        .unwrap();
    let section = configured["index"].as_table_mut().unwrap();
    section.insert("url".to_owned(), redis.url().into());
    std::fs::write(service.configuration(), configured.to_string()).unwrap();
    let sentence = refused(index(&service, "rebuild"));
    assert!(sentence.contains("belongs to another register"), "{sentence}");
    let agreed = index(&other, "verify");
    assert!(counts(&agreed).0 > 200);
    done(agreed);
}
