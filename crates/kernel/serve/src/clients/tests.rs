//! Who makes room for whom, and what all have together.

use std::net::Ipv6Addr;

use tokio::time::advance;

use super::kept::KEPT_BYTES_MAX;
use super::room::{ROOM_PAUSE, SILENCE, SILENCE_AT_FIRST};
use super::unread::UNREAD_OWN_BYTES_MAX;
use super::*;

fn from(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 1).into()
}

fn is_given_up(client: &Client) -> bool {
    client.state.is_given_up()
}

fn open_of(client: &Client, whose: Whose) -> Option<Open> {
    let open = Ticket::new(&client.state).open();
    open.take_place(whose).then_some(open)
}

fn answered(client: &Client) -> Open {
    let open = open_of(client, Whose::Caller).expect("few");
    open.note_answer();
    open
}

#[tokio::test(start_paused = true)]
async fn what_has_sent_no_head_makes_room_first_and_what_is_served_last() {
    let clients = Clients::new(4);
    let idle = clients.admit(from(1)).expect("room");
    idle.state.note_head();
    advance(Duration::from_secs(1)).await;
    let serving = clients.admit(from(1)).expect("room");
    let open = answered(&serving);
    let silent = clients.admit(from(1)).expect("room");
    let other = clients.admit(from(2)).expect("room");
    let first = clients.admit(from(2)).expect("the silent one's room");
    assert!(is_given_up(&silent) && !is_given_up(&idle) && !is_given_up(&other));
    first.state.note_head();
    let open_too = answered(&first);
    drop(silent);
    assert_eq!(clients.counts(), (4, 1, 0));
    // Both addresses have two now; of the first, the idle one is over first.
    drop(other);
    let third = clients.admit(from(1)).expect("a free place");
    third.state.note_head();
    let busy = answered(&third);
    let fourth = clients.admit(from(3)).expect("the idle one's room");
    assert!(is_given_up(&idle) && !is_given_up(&serving) && !is_given_up(&third));
    fourth.state.note_head();
    let busy_too = answered(&fourth);
    assert!(clients.admit(from(3)).is_none(), "all are served");
    advance(SILENCE).await;
    third.state.note_activity();
    let last = clients.admit(from(3)).expect("the room of one on which nothing moves");
    assert!(is_given_up(&serving) && !is_given_up(&third));
    drop((open, open_too, busy, busy_too, last));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_served_stays_longer_than_those_that_only_came() {
    let clients = Clients::new(4);
    let served = clients.admit(from(1)).expect("room");
    drop(answered(&served));
    let others: Vec<_> = (0..20)
        .map(|_| {
            let other = clients.admit(from(1)).expect("the room of one that only came");
            other.state.note_head();
            other
        })
        .collect();
    assert!(!is_given_up(&served) && is_given_up(&others[0]));
}

#[tokio::test(start_paused = true)]
async fn one_to_which_nothing_was_answered_makes_room_like_an_idle_one() {
    let clients = Clients::new(4);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let client = clients.admit(from(1)).expect("room");
            let open = open_of(&client, Whose::Caller).expect("few");
            (client, open)
        })
        .collect();
    assert!(clients.admit(from(1)).is_none(), "they are new");
    advance(SILENCE_AT_FIRST).await;
    let served = clients.admit(from(2)).expect("a free place");
    drop(answered(&served));
    let _other = clients.admit(from(1)).expect("the room of one that waits");
    assert!(is_given_up(&waiting[0].0) && !is_given_up(&waiting[1].0) && !is_given_up(&served));
}

/// Those without a caller's make room; others wait. Whoever has few does neither.
#[tokio::test(start_paused = true)]
async fn too_many_requests_make_room_and_wait() {
    let clients = Clients::new(8);
    let [stranger, few, caller] = [1, 2, 3].map(|host| clients.admit(from(host)).expect("room"));
    for client in [&stranger, &few, &caller] {
        client.state.note_head();
    }
    let open = answered(&caller);
    few.state.note_streams(OPEN_OWN_MAX);
    caller.state.note_streams(OPEN_OWN_MAX + UNFINISHED_OF_ALL_MAX - 100);
    stranger.state.note_streams(OPEN_OWN_MAX + 100);
    assert!(!stranger.state.has_too_much() && !few.state.is_read_slowly());
    stranger.state.note_streams(OPEN_OWN_MAX + 101);
    assert!(!few.state.has_too_much() && few.state.is_read_slowly());
    assert!(!is_given_up(&stranger), "nobody had to wait");
    advance(ROOM_PAUSE).await;
    assert!(caller.state.has_too_much() && is_given_up(&stranger));
    drop(stranger);
    assert!(!caller.state.has_too_much());
    caller.state.note_streams(OPEN_OWN_MAX + UNFINISHED_OF_ALL_MAX + 1);
    advance(ROOM_PAUSE).await;
    assert!(caller.state.has_too_much() && !is_given_up(&caller) && !is_given_up(&few));
    drop(open);
    // What is worked on counts as well, whatever its connection says of it.
    caller.state.note_streams(0);
    let many = vec![Ticket::new(&few.state); TICKETS_OWN_MAX + UNFINISHED_OF_ALL_MAX + 1];
    assert!(few.state.has_too_much() && !caller.state.has_too_much());
    drop((many, few, caller));
    let left = [&clients.0.streams, &clients.0.unfinished].map(|all| all.load(SeqCst));
    assert_eq!(left, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_anyone_may_ask_for_keeps_no_connection_that_callers_need() {
    let clients = Clients::new(4);
    let watching: Vec<_> = (1..=2)
        .flat_map(|host| [from(host); 2])
        .map(|address| {
            let client = clients.admit(address).expect("room");
            let open = open_of(&client, Whose::Anyone).expect("few");
            client.state.note_activity();
            (client, open)
        })
        .collect();
    let caller = clients.admit(from(3)).expect("the room of one that needs no key");
    let open = open_of(&caller, Whose::Caller).expect("few");
    assert!(watching.iter().filter(|(client, _)| is_given_up(client)).count() == 1);
    for _ in 0..3 {
        let _ = clients.admit(from(4)).expect("the room of another one");
    }
    assert!(!is_given_up(&caller));
    drop(open);
}

#[tokio::test]
async fn what_anyone_may_ask_for_takes_no_place_of_callers() {
    let clients = Clients::new(8);
    let (one, other) = (clients.admit(from(1)), clients.admit(from(2)));
    let (one, other) = (one.expect("room"), other.expect("room"));
    let all = |client: &Client, whose, max: usize| -> Vec<_> {
        (0..max).map(|_| open_of(client, whose).expect("few")).collect()
    };
    let held = all(&one, Whose::Anyone, OPEN_OF_ANYONE_MAX);
    assert!(open_of(&one, Whose::Anyone).is_none());
    let callers = all(&other, Whose::Caller, OPEN_MAX);
    let own = all(&other, Whose::Anyone, OPEN_OWN_MAX);
    assert!(open_of(&other, Whose::Anyone).is_none() && open_of(&other, Whose::Caller).is_none());
    drop((held, callers, own));
    assert_eq!(clients.0.of_anyone.load(SeqCst) + clients.0.of_callers.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn one_address_takes_not_all() {
    let clients = Clients::new(8);
    let many: Vec<_> = (0..20).filter_map(|_| clients.admit(from(1))).collect();
    assert_eq!((many.len(), clients.counts()), (20, (6, 14, 0)));
    let v6 = |last: u16| (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, last, 1), 1).into();
    let others: Vec<_> = (0..2).filter_map(|last| clients.admit(v6(last))).collect();
    assert_eq!((others.len(), clients.counts().0), (2, 8));
    let third = clients.admit(from(2)).expect("the room of the one with most");
    assert!(others.iter().all(|one| !is_given_up(one)));
    drop((many, others, third));
    assert_eq!(clients.counts().0, 0);
}

#[tokio::test]
async fn open_requests_of_all_are_bounded_and_each_connection_has_some() {
    let clients = Clients::new(8);
    let (one, other) = (clients.admit(from(1)), clients.admit(from(2)));
    let (one, other) = (one.expect("room"), other.expect("room"));
    let open = |client: &Client| open_of(client, Whose::Caller);
    let held: Vec<_> = (0..OPEN_MAX).map(|_| open(&one).expect("few")).collect();
    assert!(open(&one).is_none());
    let few: Vec<_> = (0..OPEN_OWN_MAX).map(|_| open(&other).expect("its own")).collect();
    assert!(open(&other).is_none());
    drop((held, few));
    assert!(open(&one).is_some() && !one.state.is_serving());
}

#[tokio::test]
async fn only_those_who_have_much_unread_wait() {
    let bytes = |bytes| Data { frames: 0, bytes };
    let clients = Clients::new(8);
    let (one, other) = (clients.admit(from(1)), clients.admit(from(2)));
    let (one, other) = (one.expect("room"), other.expect("room"));
    let open = open_of(&one, Whose::Caller).expect("few");
    one.state.note_unread(bytes(UNREAD_BYTES_MAX));
    assert!(!one.state.has_much_unread());
    one.state.note_unread(bytes(1));
    other.state.note_unread(bytes(UNREAD_OWN_BYTES_MAX));
    assert!(one.state.has_much_unread() && !other.state.has_much_unread());
    assert!(one.state.has_too_much() && !other.state.has_too_much());
    open.note_read(bytes(UNREAD_OWN_BYTES_MAX + 1));
    assert!(!one.state.has_much_unread());
    drop(open);
    // What is left was for a request that is over.
    one.state.note_unread(bytes(1));
    assert_eq!(one.state.unread.load(SeqCst), 1);
    drop((one, other));
    assert_eq!(clients.0.unread.load(SeqCst), 0);
}

/// What the library keeps stays when requests and frames are over, until their connection closes.
#[tokio::test(start_paused = true)]
async fn the_connection_that_keeps_most_unused_makes_room() {
    const REQUESTS: usize = 1_024;
    let clients = Clients::new(1_000);
    let admit = || {
        let client = clients.admit(from(1)).expect("room");
        client.state.note_head();
        client
    };
    let kept = || clients.0.kept.load(SeqCst);
    let (small, busy, frames) = (admit(), admit(), admit());
    small.state.note_kept(4);
    assert_eq!(kept(), 0, "each has some in any case");
    let open: Vec<_> = (0..REQUESTS).map(|_| Ticket::new(&busy.state)).collect();
    busy.state.note_kept(0);
    let of_one = kept();
    let read = Data { frames: 10_000, bytes: 0 };
    frames.state.note_unread(read);
    frames.state.note_kept(1);
    frames.state.note_read(read);
    assert!(kept() > of_one + 10_000 * 200, "{}", kept());
    let mut others = Vec::new();
    while kept() <= KEPT_BYTES_MAX {
        assert!(!busy.state.has_too_much() && !small.state.is_read_slowly());
        let other = admit();
        other.state.note_kept(REQUESTS);
        others.push(other);
    }
    assert!(others.len() > KEPT_BYTES_MAX / of_one / 2, "{}", others.len());
    advance(ROOM_PAUSE).await;
    assert!(small.state.is_read_slowly() && !small.state.has_too_much());
    assert!(!is_given_up(&frames), "nobody had to wait");
    assert!(busy.state.has_too_much() && is_given_up(&frames));
    assert!(!busy.state.has_too_much());
    (0..3).for_each(|_| {
        let other = admit();
        other.state.note_kept(REQUESTS);
        others.push(other);
    });
    advance(ROOM_PAUSE).await;
    assert!(busy.state.has_too_much() && is_given_up(&others[0]), "the oldest of the same");
    assert!(!is_given_up(&busy) && !is_given_up(&small), "they use it");
    // One that is given up may note something before it closes.
    others[0].state.note_kept(REQUESTS);
    drop((open, others, small, busy, frames));
    assert_eq!(kept(), 0);
}
