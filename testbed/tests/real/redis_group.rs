use testbed::{RedisGroup, Scratch};

#[test]
fn a_redis_group_fails_over_when_told_to_and_when_its_primary_dies() {
    let scratch = Scratch::new().unwrap();
    let mut group = RedisGroup::start(scratch.path()).unwrap();
    let first = group.wait_for_primary().unwrap();
    assert_eq!(group.servers()[first].ask(&["SET", "key", "42"]).unwrap(), ["OK"]);
    group.replicate().unwrap();

    let second = group.fail_over().unwrap();
    assert_ne!(second, first);
    group.settle().unwrap();
    assert_eq!(group.servers()[second].ask(&["GET", "key"]).unwrap(), ["42"]);
    let refused = group.servers()[first].ask(&["SET", "key", "43"]).unwrap_err();
    assert!(format!("{refused:#}").contains("READONLY"), "{refused:#}");

    group.servers()[second].kill();
    let third = group.wait_for_other_primary(second).unwrap();
    assert_ne!(third, second);
    assert_eq!(group.servers()[third].ask(&["GET", "key"]).unwrap(), ["42"]);
    group.servers()[second].restart().unwrap();
    group.settle().unwrap();
    // On a busy machine sentinels may have failed over once more: whoever it is now, it is one, and has the data.
    let last = the_one_primary(&mut group);
    assert_eq!(group.servers()[last].ask(&["GET", "key"]).unwrap(), ["42"]);
}

/// Who comes back follows: only one server takes itself for the primary, and the sentinels agree.
fn the_one_primary(group: &mut RedisGroup) -> usize {
    let is_primary = |server: &testbed::Redis| server.ask(&["ROLE"]).unwrap()[0] == "master";
    let primaries: Vec<usize> = (0..3).filter(|number| is_primary(&group.servers()[*number])).collect();
    assert_eq!(primaries, [group.wait_for_primary().unwrap()]);
    primaries[0]
}

#[test]
fn a_frozen_primary_of_a_redis_group_is_replaced_and_follows_when_thawed() {
    let scratch = Scratch::new().unwrap();
    let mut group = RedisGroup::start(scratch.path()).unwrap();
    let first = group.wait_for_primary().unwrap();
    group.servers()[first].freeze().unwrap();
    let second = group.wait_for_other_primary(first).unwrap();
    group.servers()[first].thaw().unwrap();
    group.settle().unwrap();
    assert_ne!(second, first);
    the_one_primary(&mut group);
}

#[test]
fn a_redis_group_without_replicas_takes_no_writes_and_without_most_sentinels_keeps_its_primary() {
    let scratch = Scratch::new().unwrap();
    let mut group = RedisGroup::start(scratch.path()).unwrap();
    let primary = group.wait_for_primary().unwrap();
    for sentinel in &mut group.sentinels()[..2] {
        sentinel.kill();
    }
    assert_eq!(group.primary(), None, "one sentinel is no majority");
    for server in group.servers().iter_mut() {
        if server.ask(&["ROLE"]).unwrap()[0] == "slave" {
            server.kill();
        }
    }
    let refused = loop {
        // It counts a replica as long as it heard of it within the last two seconds.
        if let Err(refused) = group.servers()[primary].ask(&["SET", "key", "42"]) {
            break format!("{refused:#}");
        }
    };
    assert!(refused.contains("NOREPLICAS"), "{refused}");
    for server in group.servers().iter_mut() {
        server.restart().unwrap();
    }
    for sentinel in &mut group.sentinels()[..2] {
        sentinel.restart().unwrap();
    }
    group.settle().unwrap();
    let primary = group.wait_for_primary().unwrap();
    assert_eq!(group.servers()[primary].ask(&["SET", "key", "42"]).unwrap(), ["OK"]);
}
