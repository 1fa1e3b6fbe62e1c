//! A Redis Cluster of two nodes, each with half of the slots.

use crate::authority::Authority;
use crate::process::free_port;
use crate::redis::Redis;
use crate::{logs, wait};

/// The nodes end when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes.
    pub nodes: [Redis; 2],
}

impl RedisCluster {
    /// Starts the nodes and waits until the cluster works.
    pub async fn start() -> Self {
        Self::begin(None).await
    }

    /// The same with TLS for every connection, with certificates of `authority`.
    pub async fn start_with_tls(authority: &Authority) -> Self {
        Self::begin(Some(authority)).await
    }

    async fn begin(authority: Option<&Authority>) -> Self {
        let password = logs::secret("redis");
        let nodes = [(); 2].map(|()| Self::start_node(authority, &password));
        nodes[0].run("CLUSTER ADDSLOTSRANGE 0 8191").await;
        nodes[1].run("CLUSTER ADDSLOTSRANGE 8192 16383").await;
        nodes[1].run("CLUSTER SET-CONFIG-EPOCH 2").await;
        Self::meet(&nodes[0], &nodes[1]).await;
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            wait::until("the cluster to work", || async {
                let info = text(&node.run("CLUSTER INFO").await);
                wait::check(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2"), info)
            })
            .await;
        }
        cluster
    }

    fn start_node(authority: Option<&Authority>, password: &str) -> Redis {
        let settings = format!(
            "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout 15000\nmasterauth {password}\n\
             repl-diskless-sync-delay 0\ncluster-require-full-coverage no\n",
            free_port()
        );
        match authority {
            None => Redis::start_with_settings(&settings, password),
            Some(authority) => Redis::start_with_tls_and_settings(
                &authority.issue(),
                &authority.bundle(),
                &settings,
                password,
            ),
        }
    }

    async fn meet(one: &Redis, other: &Redis) {
        let bus = Self::config(other, "cluster-port").await;
        one.run(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port())).await;
    }

    /// Adds a replica of this node and waits until it has its data.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn add_replica(&self, node: usize) -> Redis {
        let replica = Self::start_node(None, self.nodes[node].password());
        Self::meet(&self.nodes[node], &replica).await;
        let id = text(&self.nodes[node].run("CLUSTER MYID").await);
        wait::until("the replica to know the nodes", || async {
            let info = text(&replica.run("CLUSTER INFO").await);
            wait::check(info.contains("cluster_known_nodes:3"), info)
        })
        .await;
        replica.run(&format!("CLUSTER REPLICATE {id}")).await;
        wait::until("the replica to have the data", || async {
            let info = text(&replica.run("INFO replication").await);
            wait::check(info.contains("master_link_status:up"), info)
        })
        .await;
        // A node ignores a failover to a replica that it does not know yet, and only the owner tells it about the replica.
        let replica_id = text(&replica.run("CLUSTER MYID").await);
        for knows in &self.nodes {
            wait::until("every node to know the replica", || async {
                let nodes = text(&knows.run("CLUSTER NODES").await);
                let of_replica = nodes.lines().find(|line| line.starts_with(&replica_id)).unwrap_or_default();
                let holds =
                    of_replica.contains(&format!(" slave {id} ")) && of_replica.ends_with("connected");
                wait::check(holds, nodes)
            })
            .await;
        }
        replica
    }

    /// The node that owns the slot of a key.
    ///
    /// # Panics
    /// When a node does not answer.
    pub async fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key).await;
        usize::from(slot >= 8192)
    }

    /// Moves the slot of a key, with all its keys, from one node to the other, as `redis-cli --cluster` does. Leaves it
    /// half moved while `meanwhile` runs: the keys that end with `suffix` are on the new node.
    ///
    /// # Panics
    /// When a node does not answer.
    pub async fn move_slot<F: Future<Output = ()>>(
        &self,
        key: &str,
        from: usize,
        suffix: &str,
        meanwhile: F,
    ) {
        let slot = self.slot(key).await;
        let (source, target) = (&self.nodes[from], &self.nodes[1 - from]);
        let (source_id, target_id) =
            (text(&source.run("CLUSTER MYID").await), text(&target.run("CLUSTER MYID").await));
        target.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}")).await;
        source.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}")).await;
        self.migrate(source, target, |key| key.ends_with(suffix)).await;
        meanwhile.await;
        self.migrate(source, target, |_| true).await;
        target.run(&format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
        source.run(&format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
    }

    async fn migrate(&self, source: &Redis, target: &Redis, wanted: impl Fn(&str) -> bool) {
        for key in source.keys().await.into_iter().filter(|key| wanted(key)) {
            let (port, password) = (target.port(), target.password());
            let mut command = redis::cmd("MIGRATE");
            command.arg("127.0.0.1").arg(port).arg(&key).arg(0).arg(5000).arg("REPLACE");
            command.arg("AUTH").arg(password);
            let _: redis::Value = command.query_async(&mut source.connect().await).await.expect("MIGRATE");
        }
    }

    async fn slot(&self, key: &str) -> i64 {
        match self.nodes[0].run(&format!("CLUSTER KEYSLOT {key}")).await {
            redis::Value::Int(slot) => slot,
            other => panic!("a slot: {other:?}"),
        }
    }

    async fn config(node: &Redis, name: &str) -> String {
        let value = node.run(&format!("CONFIG GET {name}")).await;
        let values: Vec<String> = redis::from_redis_value(value).expect("a setting");
        values[1].clone()
    }
}

fn text(value: &redis::Value) -> String {
    redis::from_redis_value(value.clone()).expect("a text")
}
