//! Starts a cluster and a child process, prints them, and waits to be killed. For the testkit's own
//! tests.

use std::process::Command;

use tally_testkit::{Cluster, Options, Process};

fn main() {
    let cluster = Cluster::start(Options::default()).expect("a cluster");
    let child = Process::spawn(Command::new("sleep").arg("600"));
    let server = cluster.pid().expect("the cluster runs");
    println!("owns {} {} {}", cluster.socket_dir().display(), server, child.pid());
    loop {
        std::thread::park();
    }
}
