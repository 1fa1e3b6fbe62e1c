//! The state of the model: two replicas, PostgreSQL, and two nodes of Redis.

/// The number of a copy in Redis; 0 is none.
pub type Epoch = u8;
/// The identity of the data of a node; 0 is a node that is down.
pub type DataId = u8;
/// How many ticks ago something happened.
pub type Age = u8;

pub const REPLICAS_U8: u8 = 2;
pub const NODES_U8: u8 = 2;
pub const REPLICAS: usize = REPLICAS_U8 as usize;
pub const NODES: usize = NODES_U8 as usize;
/// More epochs, and more identities, are never referred to at the same time.
pub const MOST_NAMES: usize = 16;

/// The keys in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Data {
    pub marker: Epoch,
    /// The key of the session is there.
    pub has_session: bool,
    /// For so many ticks the key of its account is there.
    pub account: Age,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Node {
    pub id: DataId,
    pub data: Data,
}

/// What a replica remembers of PostgreSQL's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Seen {
    /// Nothing that could still matter.
    #[default]
    Nothing,
    /// The trusted epoch.
    Trusted { epoch: Epoch, asked: Age },
    /// The present withdrawal.
    Withdrawn { since: Age },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum TokenCheck {
    #[default]
    None,
    /// The replica trusts this copy and asks Redis.
    Begun { epoch: Epoch },
    /// Redis has no key of the session and the marker of this copy.
    Read { marker: Epoch },
}

impl TokenCheck {
    pub fn marker_mut(&mut self) -> Option<&mut Epoch> {
        match self {
            Self::Begun { epoch: marker } | Self::Read { marker } => Some(marker),
            Self::None => None,
        }
    }
}

/// A connection to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connection {
    pub node: u8,
    /// The identity that the node showed when the connection was made.
    pub id: DataId,
    /// When the node last showed it.
    pub verified: Age,
    /// When the last sweep began.
    pub swept: Option<Age>,
    /// A check of the token that began after the response to the logout.
    pub check: TokenCheck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Refill {
    #[default]
    Idle,
    /// Trust is withdrawn; every lease has to expire before the marker is set. `latest` is lost when a Redis is trusted
    /// again.
    Waiting { left: Age, latest: bool },
    /// PostgreSQL is to be told the epoch.
    Naming { epoch: Epoch, latest: bool },
    /// The cutoffs and the revocations are to be read.
    Reading { epoch: Epoch },
    /// The key of the account is to be written, and the revocations are to be read.
    Marking { epoch: Epoch, begun: Age, read: Ends },
    /// They are to be written to Redis.
    Copying { epoch: Epoch, begun: Age, session: bool },
    /// PostgreSQL is to trust the epoch.
    Trusting { epoch: Epoch, begun: Age, session: bool },
}

impl Refill {
    /// The epoch of the copy; 0 before it has one.
    pub fn epoch(self) -> Epoch {
        match self {
            Self::Idle | Self::Waiting { .. } => 0,
            Self::Naming { epoch, .. }
            | Self::Reading { epoch }
            | Self::Marking { epoch, .. }
            | Self::Copying { epoch, .. }
            | Self::Trusting { epoch, .. } => epoch,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Sweep {
    #[default]
    Idle,
    /// The key of the account is to be written, and the revocations are to be read.
    Marking { begun: Age, read: Ends },
    /// What was read is to be written to Redis.
    Copying { begun: Age, session: bool, copied: bool },
    /// The marker is to be read.
    Completing { begun: Age, session: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Replica {
    pub seen: Seen,
    pub connection: Option<Connection>,
    /// The last sweep covers the revocation of the session.
    pub cursor: bool,
    pub refill: Refill,
    pub sweep: Sweep,
}

/// How PostgreSQL records that the session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ends {
    /// The account has a cutoff.
    pub cutoff: bool,
    /// The session has a revocation.
    pub revocation: bool,
}

/// Where the announcement of the revocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Announcement {
    /// To be written to Redis.
    Committed { read: Ends },
    /// The marker is to be read.
    Written,
    /// To be compared with the epoch that this replica trusts.
    Read { marker: Epoch, id: DataId },
    /// To be compared with PostgreSQL's record.
    Untrusted { marker: Epoch, id: DataId },
    /// Trust is to be withdrawn.
    Failed,
    /// Trust is withdrawn; every lease has to expire.
    Waiting { left: Age },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Session {
    #[default]
    Active,
    Announcing {
        by: u8,
        step: Announcement,
    },
    /// The replica crashed or PostgreSQL did not answer: the client got no answer and may try again.
    Unanswered,
    /// The client knows that the session has ended.
    Answered,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    pub trusted: Epoch,
    pub candidate: Epoch,
    pub nodes: [Node; NODES],
    /// A snapshot of node 0, or what its standby has received.
    pub older: Data,
    pub replicas: [Replica; REPLICAS],
    /// Who may refill Redis.
    pub lock: Option<u8>,
    pub session: Session,
    pub ends: Ends,
    /// How long ago the end of the session was committed.
    pub ended: Age,
    /// For so many ticks a revocation may be hidden, because the data of a Redis was replaced under its clients.
    pub hidden: Age,
    /// Faults that may still happen.
    pub faults: u8,
    /// The data in which each epoch was made.
    pub made_in: [DataId; MOST_NAMES],
}

impl State {
    pub fn initial(faults: u8, split: bool) -> Self {
        let first = Node { id: 1, data: Data::default() };
        Self {
            trusted: 0,
            candidate: 0,
            nodes: [first, Node { id: if split { 2 } else { 0 }, ..Node::default() }],
            older: Data::default(),
            replicas: [Replica::default(); REPLICAS],
            lock: None,
            session: Session::Active,
            ends: Ends::default(),
            ended: 0,
            hidden: 0,
            faults,
            made_in: [0; MOST_NAMES],
        }
    }

    pub fn has_ended(&self) -> bool {
        self.session != Session::Active
    }

    /// One check at a time is enough: checks change nothing.
    pub fn is_checking(&self) -> bool {
        self.replicas.iter().filter_map(|it| it.connection).any(|it| it.check != TokenCheck::None)
    }

    pub fn node_of(&mut self, replica: usize) -> Option<&mut Node> {
        let node = self.replicas[replica].connection?.node;
        Some(&mut self.nodes[usize::from(node)])
    }

    /// An identity that nothing refers to.
    pub fn new_data_id(&self) -> DataId {
        let connections = self.replicas.iter().filter_map(|replica| replica.connection.map(|it| it.id));
        let announced = match self.session {
            Session::Announcing {
                step: Announcement::Read { id, .. } | Announcement::Untrusted { id, .. },
                ..
            } => id,
            _ => 0,
        };
        let used = self.nodes.iter().map(|node| node.id).chain(connections).chain(self.made_in);
        let used = used.chain([announced]);
        used.max().unwrap_or_default() + 1
    }

    /// An epoch that nothing refers to, made in this data.
    pub fn new_epoch(&mut self, data: DataId) -> Epoch {
        let unused = (1..MOST_NAMES).find(|epoch| self.made_in[*epoch] == 0).expect("few epochs are in use");
        self.made_in[unused] = data;
        u8::try_from(unused).expect("it is small")
    }

    /// The connection, and what goes on over it, ends.
    pub fn disconnect(&mut self, replica: usize) {
        let it = &mut self.replicas[replica];
        it.connection = None;
        it.sweep = Sweep::Idle;
        self.give_up_refill(replica);
        if let Session::Announcing { by, step } = &mut self.session
            && usize::from(*by) == replica
            && matches!(step, Announcement::Written)
        {
            *step = Announcement::Failed;
        }
    }

    pub fn give_up_refill(&mut self, replica: usize) {
        self.replicas[replica].refill = Refill::Idle;
        if self.lock.map(usize::from) == Some(replica) {
            self.lock = None;
        }
    }

    pub fn crash(&mut self, replica: usize) {
        self.disconnect(replica);
        self.replicas[replica] = Replica::default();
        if matches!(self.session, Session::Announcing { by, .. } if usize::from(by) == replica) {
            self.session = Session::Unanswered;
        }
    }

    /// The trust in Redis has changed: what replicas remember of an earlier withdrawal equals nothing any more.
    pub fn forget_withdrawals(&mut self) {
        for replica in &mut self.replicas {
            if matches!(replica.seen, Seen::Withdrawn { .. }) {
                replica.seen = Seen::Nothing;
            }
            if let Refill::Waiting { latest, .. } | Refill::Naming { latest, .. } = &mut replica.refill {
                *latest = false;
            }
        }
    }
}
