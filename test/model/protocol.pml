/*
 * The protocol of a move (docs/protocol.md), for SPIN: one tenant, two databases, clients with any view however stale,
 * two workers of which either may be slow or die anywhere, and a world that cuts sessions and lets fences expire.
 * README.md says what is abstracted, how to run it and how to read a counterexample.
 *
 * Each `d_step` and `atomic` is one statement or transaction of one server, together with what a process does in its
 * own memory before its next one. Between any two of them everybody else may act.
 */

/*
 * ---- how much of it ----
 * -DSOAK: with the rollback window. -DSCHEMA_CHANGES: the source's tables may be changed. -DCANCEL: an operator may cancel. -DCALM: from some moment on nothing goes wrong any
 * more, and everything must come to its end; with -DSILENCE, the catalog may answer nobody any more. -DONLY=I2_once: no promise but this one is looked at.
 */

#ifndef WRITES
#define WRITES 2  /* commits of clients, 3 at most */
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef READERS
#define READERS 0
#endif

/* ---- words ---- */

mtype:phase = {
  planned, provisioning, dual_write, backfill, verify, ready, cutover, finalize, completed, aborting, aborted,
  soak, rolling_back, rolled_back
}
mtype:event = {
  preflight_passed, provisioned, stream_created, snapshot_lost, copied, verified, changes_forgotten, settled,
  not_switched, switched, purged, given_up, cleaned_up, schema_changed,
  window_closed, rollback_requested, returned
}
/* freehold.resident.state. ABSENT: no row; LEFT: moved, and left_at is written. */
mtype:mark = { ABSENT, STANDBY, FROZEN, ACTIVE, FENCED, SEALED, MOVED, LEFT }
/* What a worker does next. */
mtype:step = {
  IDLE, CHECK, PROVISION, CREATE_SLOT, COPY, OPEN_APPLIER, CATCH_UP, AWAIT_CALM,
  CLAIM_SOURCE, LIFT_EARLIER, ASK_SOURCE, INTEND, FENCE, LOCK, DRAIN, CHECK_SEAL, COMMIT_SEAL, LIFT, LIFT_OR_STOP,
  UNLOCK, WITHDRAW, FREEZE, SWITCH_HOME, RETIRE, LEAVE, ACTIVATE,
  TURN_ROUND, CLAIM_OLD, EXPECT_BACK, OPEN_BACK, DECIDE, RESUME_BACK,
  CLOSE_STREAM, CLAIM_LEFT, FORGET_BACK, PURGE, LEAVE_SOURCE, LEAVE_FENCE, DROP_SLOT, DROP_TARGET, REPORT
}
mtype:direction = { NONE, FORWARD, BACK }

#define A 0         /* the tenant's home at epoch 1, and at epoch 3 once it is rolled back */
#define B 1         /* its home at epoch 2 */
#define NOBODY 2
#define THE_DEAD 3  /* a session that has ended, and was newer than the one that lives */

/* ---- what is durable ---- */

typedef Database {
  mtype:mark mark;
  unsigned epoch : 2;
  unsigned token : 3;               /* of the fence or seal */
  bit expired;                      /* the fence, by this server's clock */
  unsigned exclusive : 2 = NOBODY;  /* whose session holds the tenant's advisory lock alone */
  unsigned sealing : 2 = NOBODY;    /* whose seal is checked and not committed: it holds the lock of the mark's row */
  unsigned shared : 2;              /* how many writers hold the tenant's lock */
  unsigned reading : 2;             /* how many readers have entered */
  unsigned claim : 2 = NOBODY;      /* whose lease may write here for the move */
  unsigned rows : 3;                /* the tenant's rows: bit n-1 is the n-th write */
  unsigned applied : 2;             /* the last write that the stream has brought, stored with it */
}
Database db[2];

mtype:phase phase = planned;
unsigned newest : 2 = NOBODY;    /* whose session has the newest fencing token; NOBODY: that session has ended */
unsigned recorded : 3;           /* the token of the attempt to switch */
bit switch_intended;
bit cancel_requested;
unsigned home : 2 = 1;           /* the epoch of the tenant's home */
unsigned copied_until : 2;       /* the last write before the recorded slot: in its snapshot, not in its stream */
unsigned snapshot : 2 = NOBODY;  /* whose session holds that snapshot open */
bit forward_stream;              /* the recorded slot exists */
unsigned switch_point : 2;       /* the last write before the switch: the stream back ignores what precedes it */

/* ---- what a worker holds in memory ---- */

typedef Session {
  mtype:step at = IDLE;
  mtype:event event;
  bit back;                /* whether it switches back to A */
  unsigned token : 3;      /* of the attempt that it knows of */
  bit compared;            /* it has run the verification itself */
  mtype:direction applying = NONE;
  unsigned position : 2;   /* of its applier; of a new slot until that is recorded */
}
Session s[2];

/* ---- the world ---- */

unsigned written : 2;  /* commits of clients so far */
/* From now on nothing goes wrong any more. 1: worker 1 stands still for ever; 2: both do; 3: as 1, but the catalog answers nobody. */
unsigned calm : 2;

/* What is promised. The names are false all the time, and SPIN prints them; one that is set is not looked at. */
bit I1_one_home, I2_no_lost_write, I2_once, I5_point_of_no_return, I5_cancelled_for_good, no_stale_read;
bit table_is_total, purge_is_whole;
#define ASSERT(name, condition) assert(name || (condition))

#define ROW(n) (1 << ((n) - 1))
#define ROWS_UNTIL(n) ((1 << (n)) - 1)
#define ALL_ROWS ROWS_UNTIL(written)
#define HOME db[1 - home % 2]
#define ACCEPTS(p) (db[p].mark == ACTIVE || (db[p].mark == FENCED && db[p].expired))
#define IS_OPEN(p) (db[p].mark == ACTIVE || db[p].mark == FENCED)
#define ADMITS_READERS(p) (IS_OPEN(p) || db[p].mark == SEALED || db[p].mark == FROZEN)
#define IS_SEALED(p) (db[p].epoch == p + 1 && (db[p].mark == SEALED || db[p].mark == MOVED || db[p].mark == LEFT))
#define WAITS(p) (db[p].mark == STANDBY || db[p].mark == FROZEN)
#define IS_HELD ((IS_SEALED(A) && WAITS(B)) || (IS_SEALED(B) && WAITS(A)))
#define UNTOUCHED(p) (home == p + 1 && db[p].epoch == p + 1 && IS_OPEN(p))
#define TERMINAL (phase == completed || phase == aborted || phase == rolled_back)
#define BEFORE_SWITCH \
  (phase == planned || phase == provisioning || phase == dual_write || phase == backfill || phase == verify || \
   phase == ready)

#define ROUGH (!calm)
#define WORKS (!calm || (calm != 2 && w == 0))
/* Worker 0 does in time whatever does not take the catalog. */
#define IS_AT_WORK (calm == 1 || calm == 3)

/* Worker w's session, and the two sides of the switch that it makes. */
#define ME s[w]
#define SOURCE db[s[w].back]
#define TARGET db[1 - s[w].back]
#define EPOCH (s[w].back + 1)
#define FENCED_BY_ME (SOURCE.mark == FENCED && SOURCE.token == ME.token)

/* Where its applier writes, and the next change that it has to bring there. */
#define INTO (s[w].applying == FORWARD -> B : A)
#define IS_AHEAD(n) (ME.position < n && (db[1 - INTO].rows & ROW(n)))
#define NEXT (IS_AHEAD(1) -> 1 : (IS_AHEAD(2) -> 2 : (IS_AHEAD(3) -> 3 : 0)))
#define STREAMS (ME.applying == BACK || (ME.applying == FORWARD && forward_stream))

/* A lease may take over from every older one, in a database that is still there. */
#define CLAIMABLE(p) (db[p].mark != ABSENT && (newest == w || db[p].claim == w || db[p].claim == NOBODY))

/*
 * Which session is worker 0's is a matter of names, as long as the weather is rough: the newer one of two, and one by itself. The
 * other half of the states has the names exchanged, and nothing else.
 */
#define OTHER(x) (x < NOBODY -> 1 - x : x)
#define SWAP(field) held = s[0].field; s[0].field = s[1].field; s[1].field = held
hidden byte held;

inline exchange_names() {
  for (p : A .. B) {
    db[p].exclusive = OTHER(db[p].exclusive);
    db[p].sealing = OTHER(db[p].sealing);
    db[p].claim = OTHER(db[p].claim)
  }
  p = 0;
  newest = OTHER(newest);
  snapshot = OTHER(snapshot);
  SWAP(at); SWAP(event); SWAP(back); SWAP(token); SWAP(compared); SWAP(applying); SWAP(position);
  held = 0
}

/* A token that nobody knows. */
#define IS_KNOWN(t) (t == db[A].token || t == db[B].token || t == s[1 - w].token)
#define FRESH_TOKEN (!IS_KNOWN(1) -> 1 : (!IS_KNOWN(2) -> 2 : (!IS_KNOWN(3) -> 3 : 4)))

/* ---- the guards: each flag takes one away ---- */

#ifdef NO_LOCK
#define LOCKED_OUT(p) false
#define MAY_LOCK true
#else
#define LOCKED_OUT(p) (db[p].exclusive != NOBODY)
#define MAY_LOCK (SOURCE.exclusive == NOBODY && SOURCE.shared == 0)
#endif

#ifdef NO_TOKEN_AT_SEAL
#define IS_MY_FENCE true
#else
#define IS_MY_FENCE (SOURCE.token == ME.token)
#endif

#ifdef NO_EXPIRY_AT_SEAL
#define IS_LIVE_FENCE true
#else
#define IS_LIVE_FENCE (!SOURCE.expired)
#endif

#if defined(NO_LOCK) || defined(SEAL_ON_OTHER_SESSION)
#define MAY_SEAL true
#else
#define MAY_SEAL (SOURCE.exclusive == w)
#endif

#ifdef NO_CLAIM_AT_FENCE
#define MAY_FENCE true
#else
#define MAY_FENCE (SOURCE.claim == w)
#endif

#ifdef NO_LEASE_AT_CLAIM
#define MAY_OPEN(p) CLAIMABLE(p)
#else
#define MAY_OPEN(p) (newest == w || db[p].claim == w)
#endif

#ifdef NO_CLAIM_AT_APPLY
#define MAY_APPLY true
#else
#define MAY_APPLY (db[INTO].claim == w)
#endif

#ifdef NO_INTENT
#define MAY_CANCEL true
#else
#define MAY_CANCEL (!switch_intended)
#endif

#ifdef NO_COMPARE_AT_HOME
#define MAY_SWITCH true
#else
#define MAY_SWITCH (home == EPOCH || home == EPOCH + 1)
#endif

#if defined(ACTIVATE_BEFORE_RETIRE)
#define AFTER_SWITCH ME.at = ACTIVATE
#define AFTER_ACTIVATE ME.at = RETIRE
#define AFTER_RETIRE ME.at = LEAVE
#define AFTER_LEAVE end_switch()
#elif defined(ACTIVATE_BEFORE_LEAVE)
#define AFTER_SWITCH ME.at = RETIRE
#define AFTER_RETIRE ME.at = ACTIVATE
#define AFTER_ACTIVATE ME.at = LEAVE
#define AFTER_LEAVE end_switch()
#else
#define AFTER_SWITCH ME.at = RETIRE
#define AFTER_RETIRE ME.at = LEAVE
#define AFTER_LEAVE ME.at = ACTIVATE
#define AFTER_ACTIVATE end_switch()
#endif

#ifdef STREAM_BACK_FROM_ITS_SLOT
#define STREAM_BACK_BEGINS copied_until
#else
#define STREAM_BACK_BEGINS written
#endif

#ifdef FORWARD_STREAM_STAYS
#define TURN_STREAM skip
#else
#define TURN_STREAM close_forward_stream()
#endif

#ifdef NO_CLAIM_AT_EXPECT
#define MAY_EXPECT true
#else
#define MAY_EXPECT (db[A].claim == w)
#endif

#ifdef NO_WAIT_AT_EXPECT
#define OLD_IS_UNREAD true
#else
#define OLD_IS_UNREAD (db[A].reading == 0)
#endif

#ifdef NO_CLAIM_AT_PURGE
#define BEFORE_PURGE FORGET_BACK
#define MAY_PURGE true
#else
#define BEFORE_PURGE CLAIM_LEFT
#define MAY_PURGE (SOURCE.claim == w)
#endif

#ifdef NO_WAIT_FOR_READERS
#define IS_UNREAD true
#else
#define IS_UNREAD (SOURCE.reading == 0)
#endif

#if defined(ALL_ENTER)
#define WRITES_BY_KEY(p, e) false
#elif defined(KEPT_KEYS_ASK_NO_MARK)
/* Nobody has the key of a place where the tenant has never been. */
#define WRITES_BY_KEY(p, e) (db[p].epoch == e && !WAITS(p))
#else
#define WRITES_BY_KEY(p, e) (db[p].epoch == e && IS_OPEN(p))
#endif

#if defined(ALL_ENTER)
#define IS_SHOWN(p) false
#elif defined(KEPT_KEYS_READ_ON)
#define IS_SHOWN(p) (db[p].mark == MOVED || db[p].mark == LEFT)
#else
#define IS_SHOWN(p) (db[p].mark == MOVED)
#endif

/* These four keep a tenant from being stuck, and are missed in calm weather only. */

#ifdef FENCES_STAY
#define MAY_EXPIRE(p) ROUGH
#else
#define MAY_EXPIRE(p) (!IS_AT_WORK || db[p].token != s[0].token)
#endif

#ifdef LOCKS_STAY
#define IS_CUT(p) ROUGH
#else
#define IS_CUT(p) (!IS_AT_WORK || db[p].exclusive == 1)
#endif

#ifdef LOCK_ALWAYS_TIMES_OUT
#define LOCK_TIMES_OUT true
#else
#define LOCK_TIMES_OUT ROUGH
#endif

#ifdef LOCK_OUTLIVES_FENCE
#define AFTER_LIFT WITHDRAW
#define UNLOCK_AT_LAST unlock()
#else
#define AFTER_LIFT (SOURCE.exclusive == w -> UNLOCK : WITHDRAW)
#define UNLOCK_AT_LAST skip
#endif

/* ---- the table of docs/protocol.md ---- */

#define TRANSITION(from, what, to) :: phase == from && ME.event == what -> phase = to

inline advance() {
  if
  TRANSITION(planned, preflight_passed, provisioning)
  TRANSITION(planned, given_up, aborting)
  TRANSITION(provisioning, provisioned, dual_write)
  TRANSITION(provisioning, given_up, aborting)
  TRANSITION(dual_write, stream_created, backfill)
  TRANSITION(dual_write, schema_changed, provisioning)
  TRANSITION(dual_write, given_up, aborting)
  TRANSITION(backfill, copied, verify)
  TRANSITION(backfill, snapshot_lost, provisioning)
  TRANSITION(backfill, schema_changed, provisioning)
  TRANSITION(backfill, given_up, aborting)
  TRANSITION(verify, verified, ready)
  TRANSITION(verify, schema_changed, provisioning)
  TRANSITION(verify, given_up, aborting)
  TRANSITION(ready, settled, cutover)
  TRANSITION(ready, changes_forgotten, verify)
  TRANSITION(ready, schema_changed, provisioning)
  TRANSITION(ready, given_up, aborting)
  TRANSITION(cutover, not_switched, ready)
  TRANSITION(cutover, given_up, aborting)
  TRANSITION(finalize, purged, completed)
  TRANSITION(aborting, cleaned_up, aborted)
#ifdef SOAK
  TRANSITION(cutover, switched, soak)
  TRANSITION(soak, window_closed, finalize)
  TRANSITION(soak, rollback_requested, rolling_back)
  TRANSITION(rolling_back, not_switched, soak)
  TRANSITION(rolling_back, returned, rolled_back)
#else
  TRANSITION(cutover, switched, finalize)
#endif
  :: else -> ASSERT(table_is_total, false)
  fi
}

/* The first step of the phase that the catalog names. */
inline begin_phase() {
  ME.event = 0;
  ME.back = (phase == rolling_back);
  ME.token = (phase == cutover || phase == rolling_back || phase == aborting -> recorded : 0);
  if
  :: phase == planned -> ME.at = CHECK
  :: phase == provisioning -> ME.at = PROVISION
  :: phase == dual_write -> ME.at = CREATE_SLOT
  :: phase == backfill -> ME.at = COPY
  :: phase == verify -> ME.at = OPEN_APPLIER
  :: phase == ready -> ME.at = AWAIT_CALM
  :: phase == cutover -> ME.at = CLAIM_SOURCE
  :: phase == soak -> ME.at = TURN_ROUND
  :: phase == rolling_back -> ME.at = RESUME_BACK
  :: phase == finalize -> ME.at = CLOSE_STREAM
  :: phase == aborting -> ME.at = LEAVE_SOURCE
  :: else -> end_session()
  fi
}

/* The session has died, has met a newer token, or gives the operation back. Its connections end with it. */
inline end_session() {
  for (p : A .. B) {
    if :: db[p].exclusive == w -> cut(p) :: else fi;
    if :: db[p].sealing == w -> db[p].sealing = NOBODY :: else fi;
    if
    :: db[p].claim == w && newest == w && s[1 - w].at != IDLE -> db[p].claim = THE_DEAD
    :: db[p].claim == w && !(newest == w && s[1 - w].at != IDLE) -> db[p].claim = NOBODY
    :: db[p].claim == THE_DEAD && newest != w -> db[p].claim = NOBODY
    :: else
    fi
  }
  p = 0;
  if :: newest == w -> newest = NOBODY :: else fi;
  if :: snapshot == w -> snapshot = NOBODY :: else fi;
  ME.at = IDLE; ME.event = 0; ME.back = 0; ME.token = 0; ME.compared = false; ME.applying = NONE; ME.position = 0;
  if :: ROUGH && w == 0 && s[1].at != IDLE -> exchange_names() :: else fi
}

/* The session that holds the lock is cut. A seal that is under way on it is undone. */
inline cut(p) {
#ifndef SEAL_ON_OTHER_SESSION
  if :: db[p].sealing == db[p].exclusive -> db[p].sealing = NOBODY :: else fi;
#endif
  db[p].exclusive = NOBODY
}

/*
 * Another session takes the operation. What names x's fencing token has no effect any more; a session that would do
 * just that, and has nothing open, is as good as ended, and those that have are made equal. Keeps the states few.
 */
inline outrun(x) {
  if
  :: s[x].at == REPORT || s[x].at == INTEND || s[x].at == WITHDRAW || s[x].at == CHECK || s[x].at == PROVISION ||
     s[x].at == CREATE_SLOT || s[x].at == AWAIT_CALM || s[x].at == DECIDE ->
     s[x].at = REPORT; s[x].event = 0; s[x].token = 0; s[x].compared = false; s[x].back = 0
  :: else
  fi
}

inline unlock() { if :: SOURCE.exclusive == w -> cut(ME.back) :: else fi }

inline report(what) { ME.event = what; ME.at = REPORT }

inline lift_fence() { SOURCE.mark = ACTIVE; SOURCE.token = 0; SOURCE.expired = false }

/* No earlier attempt can have switched. Without a comparison of its own a worker does not try. */
inline try_or_withdraw() {
  if
  :: ME.back || ME.compared -> ME.at = INTEND
  :: ROUGH || !(ME.back || ME.compared) -> ME.at = WITHDRAW
  fi
}

inline end_switch() {
  unlock();
  if :: ME.back -> ME.at = CLOSE_STREAM :: else -> report(switched) fi
}

/*
 * Takes the target over and goes on from where it stands. Of a target that nobody has claimed, as one that was made anew, the
 * catalog is asked for the lease before anything is written.
 */
inline open_applier(into, direction, start, next) {
  if
  :: ME.applying == direction -> ME.at = next
  :: ME.applying != direction && db[into].mark != ABSENT && MAY_OPEN(into) ->
     db[into].claim = w;
     ME.applying = direction;
     ME.position = (db[into].applied > start -> db[into].applied : start);
     ME.at = next
  :: else -> end_session()
  fi
}

/* Of a stream that will never be again, nobody asks where it began, nor how far it was. */
inline close_forward_stream() { forward_stream = false; copied_until = 0; db[B].applied = 0 }

inline close_applier() { ME.applying = NONE; ME.position = 0; ME.compared = false }

/* ---- a worker ---- */

#define ON(step) ME.at == step && WORKS
/* What takes the catalog. */
#define ON_ANSWER(step) ON(step) && calm != 3
/* A statement on the tenant's mark waits for a seal that is under way. */
#define ON_MARK(step) ON(step) && SOURCE.sealing == NOBODY

proctype Worker(byte w) {
  byte p;
end:
  do
  /* Takes the operation, when nobody holds it or the other's lease has expired. */
  :: d_step { w == 0 && WORKS && calm != 3 && !TERMINAL && (s[0].at == IDLE || (ROUGH && s[1].at == IDLE)) ->
     if :: s[0].at != IDLE -> exchange_names() :: else fi;
     newest = w; outrun(1 - w); begin_phase() }

  /* The catalog's compare-and-set from one phase to the next. */
  :: atomic { ON_ANSWER(REPORT) ->
     if
     :: d_step { newest != w -> end_session() }
     :: newest == w ->
        d_step {
          if
          :: ME.event == stream_created ->
             copied_until = ME.position; ME.position = 0; snapshot = w; forward_stream = true
          :: else
          fi
        }
        advance();
        d_step { begin_phase() }
     fi }

  /* A cancel, or a failure that another attempt cannot cure. */
  :: d_step { (ON(CHECK) || ON(PROVISION) || ON(CREATE_SLOT) || ON(COPY) || ON(OPEN_APPLIER) || ON(CATCH_UP) ||
               ON(AWAIT_CALM)) && (ROUGH || cancel_requested) -> report(given_up) }

#ifdef SCHEMA_CHANGES
  /* The tables were changed at the source: copied anew, once somebody has said so. */
  :: d_step { (ON(CREATE_SLOT) || ON(COPY) || ON(OPEN_APPLIER) || ON(CATCH_UP) || ON(AWAIT_CALM)) && ROUGH ->
     close_applier(); report(schema_changed) }
#endif

  :: d_step { ON(CHECK) -> report(preflight_passed) }

  /* A database whose name carries the lease's token, so a new one; nobody enters there before it is frozen. */
  :: d_step { ON(PROVISION) ->
     if
     :: newest != w -> end_session()
     :: else ->
        db[B].mark = STANDBY; db[B].epoch = 2; db[B].rows = 0; db[B].applied = 0; db[B].claim = NOBODY;
        snapshot = NOBODY; forward_stream = false; copied_until = 0;
        report(provisioned)
     fi }

  :: d_step { ON(CREATE_SLOT) -> ME.position = written; report(stream_created) }

  :: d_step { ON(COPY) ->
     if
     :: snapshot != w -> report(snapshot_lost)
     :: snapshot == w && CLAIMABLE(B) ->
        db[B].claim = w; db[B].rows = db[A].rows & ROWS_UNTIL(copied_until); snapshot = NOBODY;
        report(copied)
     :: else -> end_session()
     fi }

  :: d_step { ON(OPEN_APPLIER) -> open_applier(B, FORWARD, copied_until, CATCH_UP) }

  :: d_step { ON(CATCH_UP) && !(STREAMS && db[B].claim == w) -> end_session() }
  :: d_step { ON(CATCH_UP) && STREAMS && db[B].claim == w && NEXT == 0 ->
     ASSERT(I2_no_lost_write, db[B].rows == db[A].rows);
     ME.compared = true;
     report(verified) }

  :: d_step { ON(AWAIT_CALM) && !(calm && cancel_requested) ->
     if :: ME.compared -> report(settled) :: else -> report(changes_forgotten) fi }

  /* The applier runs beside everything else: one transaction of the source, and how far it is, in one transaction. */
  :: d_step { WORKS && STREAMS && MAY_APPLY && NEXT != 0 ->
     ME.position = NEXT;
     ASSERT(I2_once, !(db[INTO].rows & ROW(ME.position)));
     db[INTO].rows = db[INTO].rows | ROW(ME.position);
     db[INTO].applied = ME.position }

  /* The switch. First: what became of the recorded attempt? Once the source is claimed, it can fence no more. */
  :: atomic { ON(CLAIM_SOURCE) ->
     if
     :: CLAIMABLE(ME.back) ->
        SOURCE.claim = w;
        if :: ME.token != 0 -> ME.at = LIFT_EARLIER :: else -> try_or_withdraw() fi
     :: else -> d_step { end_session() }
     fi }
  :: atomic { ON_MARK(LIFT_EARLIER) ->
     if :: FENCED_BY_ME -> lift_fence(); try_or_withdraw() :: else -> ME.at = ASK_SOURCE fi }
  :: atomic { ON(ASK_SOURCE) ->
     if :: IS_SEALED(ME.back) -> ME.at = FREEZE :: else -> try_or_withdraw() fi }

  /* Step 1 of docs/protocol.md. A cancel that came first wins. */
  :: d_step { ON_ANSWER(INTEND) ->
     if
     :: newest != w -> end_session()
     :: newest == w && cancel_requested -> report(not_switched)
     :: else -> recorded = FRESH_TOKEN; ME.token = recorded; switch_intended = true; ME.at = FENCE
     fi }
  /* 2: an expired fence is replaced, a live one is not. */
  :: d_step { ON_MARK(FENCE) ->
     if
     :: SOURCE.epoch == EPOCH && MAY_FENCE && (ACCEPTS(ME.back) || FENCED_BY_ME) ->
        SOURCE.mark = FENCED; SOURCE.token = ME.token; SOURCE.expired = false; ME.at = LOCK
     :: else -> ME.at = WITHDRAW
     fi }
  /* 3: the lock is waited for, until a timeout. */
  :: d_step { ON(LOCK) && MAY_LOCK -> SOURCE.exclusive = w; ME.at = DRAIN }
  :: d_step { ON(LOCK) && LOCK_TIMES_OUT -> ME.at = LIFT }
  /* 4 and 5: at some instant all that is committed at the source is at the target. Or the drain fails. */
  :: d_step { ON(DRAIN) && STREAMS && TARGET.claim == w && NEXT == 0 -> ME.at = CHECK_SEAL }
  :: d_step { ON(DRAIN) && (ROUGH || !STREAMS || TARGET.claim != w) -> ME.at = LIFT_OR_STOP }
  /* 6: the update finds the row and locks it, and commits later. */
  :: d_step { ON_MARK(CHECK_SEAL) ->
     if
     :: !MAY_SEAL -> ME.at = LIFT_OR_STOP
     :: MAY_SEAL && SOURCE.epoch == EPOCH && SOURCE.mark == FENCED && IS_MY_FENCE && IS_LIVE_FENCE ->
#ifdef SEAL_AT_ONCE
        SOURCE.mark = SEALED; SOURCE.expired = false; ME.at = FREEZE
#else
        SOURCE.sealing = w; ME.at = COMMIT_SEAL
#endif
     :: else -> ME.at = LIFT
     fi }
  /* The server commits, also for a worker that stands still; the answer may be lost. */
  :: atomic { ME.at == COMMIT_SEAL ->
     if
     :: SOURCE.sealing == w ->
        SOURCE.mark = SEALED; SOURCE.expired = false; SOURCE.sealing = NOBODY;
        if :: ME.at = FREEZE :: ROUGH -> ME.at = LIFT_OR_STOP fi
     :: else -> ME.at = LIFT_OR_STOP
     fi }

  /* Not sealed, that is certain. */
  :: d_step { ON_MARK(LIFT) -> if :: FENCED_BY_ME -> lift_fence() :: else fi; ME.at = AFTER_LIFT }
  /* Sealed or not: when the fence cannot be lifted, the operation is given back and the source is asked again. */
  :: d_step { ON_MARK(LIFT_OR_STOP) ->
     if :: FENCED_BY_ME -> lift_fence(); ME.at = AFTER_LIFT :: else -> end_session() fi }
  /* The lock keeps writers out as well, and is given up before the catalog is asked for anything. */
  :: d_step { ON(UNLOCK) -> unlock(); ME.at = WITHDRAW }
  /* Given up more often than the code does: nothing may depend on why. */
  :: atomic { ON_ANSWER(WITHDRAW) ->
     if
     :: newest == w ->
        switch_intended = false;
        UNLOCK_AT_LAST;
        if :: report(not_switched) :: !ME.back && ROUGH -> report(given_up) fi
     :: else -> d_step { end_session() }
     fi }

  /* 7: from here any worker may do each step, also one that has lost its lease; each is a compare-and-set. */
  :: d_step { ON(FREEZE) ->
     if
     :: TARGET.epoch == EPOCH + 1 && TARGET.mark == STANDBY ->
        TARGET.mark = FROZEN;
        if :: !ME.back -> switch_point = STREAM_BACK_BEGINS :: else fi;
        ME.at = SWITCH_HOME
     :: TARGET.mark == ABSENT -> end_session()
     :: else -> ME.at = SWITCH_HOME
     fi }
  :: d_step { ON_ANSWER(SWITCH_HOME) ->
     if
     :: MAY_SWITCH ->
        home = EPOCH + 1;
        AFTER_SWITCH
     :: else -> end_session()
     fi }
  /* 8: nobody enters any more; and who begins from then on sees nothing by a key that was kept. */
  :: d_step { ON(RETIRE) ->
     if :: SOURCE.epoch == EPOCH && SOURCE.mark == SEALED -> SOURCE.mark = MOVED; SOURCE.token = 0 :: else fi;
     AFTER_RETIRE }
  :: d_step { ON(LEAVE) ->
     if :: SOURCE.epoch == EPOCH && SOURCE.mark == MOVED -> SOURCE.mark = LEFT :: else fi;
     AFTER_LEAVE }
  /* 9 */
  :: d_step { ON(ACTIVATE) ->
     if :: TARGET.epoch == EPOCH + 1 && TARGET.mark == FROZEN -> TARGET.mark = ACTIVE :: else fi;
     AFTER_ACTIVATE }

  /* The rollback window: the stream forward ends before the stream back begins. */
  :: d_step { ON(TURN_ROUND) ->
     if :: ME.applying == FORWARD -> close_applier() :: else fi;
     TURN_STREAM;
     ME.at = CLAIM_OLD }
  :: d_step { ON(CLAIM_OLD) ->
     if :: CLAIMABLE(A) -> db[A].claim = w; ME.at = EXPECT_BACK :: else -> end_session() fi }
  /* The old home expects the tenant at a new epoch. Who entered before the switch sees no rows from then on. */
  :: d_step { ON(EXPECT_BACK) && !MAY_EXPECT -> end_session() }
  :: d_step { ON(EXPECT_BACK) && MAY_EXPECT && OLD_IS_UNREAD ->
     if :: db[A].epoch < 3 -> db[A].epoch = 3; db[A].mark = STANDBY; db[A].token = 0 :: else fi;
     ME.at = OPEN_BACK }
  :: d_step { ON(OPEN_BACK) -> open_applier(A, BACK, switch_point, DECIDE) }
  :: d_step { ON(DECIDE) -> report(window_closed) }
  :: d_step { ON(DECIDE) -> report(rollback_requested) }

  /* Back: the same switch in the other direction. */
  :: d_step { ON(RESUME_BACK) -> open_applier(A, BACK, switch_point, CLAIM_SOURCE) }

  /* The tenant has left the source for good. */
  :: d_step { ON(CLOSE_STREAM) -> close_applier(); close_forward_stream(); ME.at = BEFORE_PURGE }
  :: d_step { ON(CLAIM_LEFT) ->
     if :: CLAIMABLE(ME.back) -> SOURCE.claim = w; ME.at = FORGET_BACK :: else -> end_session() fi }
  :: d_step { (ON(FORGET_BACK) || ON(PURGE)) && !MAY_PURGE -> end_session() }
  /* It is not expected back any more: the rows are found by the key under which it lived there. */
  :: d_step { ON(FORGET_BACK) && MAY_PURGE ->
     if :: SOURCE.epoch > EPOCH -> SOURCE.epoch = EPOCH; SOURCE.mark = LEFT :: else fi;
     ME.at = PURGE }
  :: d_step { ON(PURGE) && MAY_PURGE && IS_UNREAD ->
     ASSERT(I5_point_of_no_return, !ADMITS_READERS(ME.back) && !IS_SHOWN(ME.back) && home == EPOCH + 1);
     if :: SOURCE.epoch == EPOCH -> SOURCE.rows = 0 :: else fi;
     if :: ME.back -> report(returned) :: else -> report(purged) fi }

  /* Given up. A source that cannot be reached is left alone. */
  :: d_step { ON(LEAVE_SOURCE) ->
     ASSERT(I5_point_of_no_return, !IS_SEALED(A));
     ME.at = LEAVE_FENCE }
  :: d_step { ON(LEAVE_SOURCE) && ROUGH -> ME.at = DROP_SLOT }
  :: d_step { ON_MARK(LEAVE_FENCE) ->
     if :: ME.token != 0 && FENCED_BY_ME -> lift_fence() :: else fi;
     ME.at = DROP_SLOT }
  :: d_step { ON(DROP_SLOT) -> close_applier(); close_forward_stream(); ME.at = DROP_TARGET }
  :: d_step { ON(DROP_TARGET) ->
     db[B].mark = ABSENT; db[B].epoch = 0; db[B].rows = 0; db[B].applied = 0; db[B].claim = NOBODY;
     report(cleaned_up) }
  od
}

/* ---- the world ---- */

proctype World() {
  byte p, w;
end:
  do
  /* A worker dies. */
  :: d_step { ROUGH && s[0].at != IDLE -> w = 0; end_session(); w = 0 }
  :: d_step { ROUGH && s[1].at != IDLE -> w = 1; end_session(); w = 0 }
  /* A session that holds the lock is cut: by the network, by its server when it does nothing, by another worker. */
  :: d_step { db[A].exclusive != NOBODY && IS_CUT(A) -> cut(A) }
  :: d_step { db[B].exclusive != NOBODY && IS_CUT(B) -> cut(B) }
  /* A fence expires. */
  :: d_step { db[A].mark == FENCED && !db[A].expired && MAY_EXPIRE(A) -> db[A].expired = true }
  :: d_step { db[B].mark == FENCED && !db[B].expired && MAY_EXPIRE(B) -> db[B].expired = true }
#ifdef CANCEL
  /* An operator cancels. Accepted as long as no attempt may be about to seal. */
  :: d_step { (BEFORE_SWITCH || phase == cutover) && !cancel_requested && MAY_CANCEL -> cancel_requested = true }
#endif
  od
}

/* ---- clients ---- */

#define IS_WRITER_AT(p, e) (db[p].epoch == e && ACCEPTS(p))
#define IS_READER_AT(p, e) (db[p].epoch == e && (ADMITS_READERS(p) || IS_SHOWN(p)))

#ifdef LOCK_AFTER_CHECK
#define TRY_WRITER(place, at_epoch) \
  :: d_step { written < WRITES && IS_WRITER_AT(place, at_epoch) -> p = place; e = at_epoch }
#define GOES_ON !LOCKED_OUT(p)
#define IS_REFUSED LOCKED_OUT(p)
#define AND_LOCKS db[p].shared++
#define OR_UNLOCKS skip
#else
#define TRY_WRITER(place, at_epoch) \
  :: d_step { written < WRITES && !LOCKED_OUT(place) && (ROUGH || IS_WRITER_AT(place, at_epoch)) -> \
     p = place; e = at_epoch; db[p].shared++ }
#define GOES_ON (IS_WRITER_AT(p, e) || WRITES_BY_KEY(p, e))
#define IS_REFUSED !IS_WRITER_AT(p, e)
#define AND_LOCKS skip
#define OR_UNLOCKS db[p].shared--
#endif

/* By a key that was kept, with less than row security asks for. */
#if defined(KEPT_KEYS_TAKE_NO_LOCK)
#define WRITES_UNLOCKED true
#elif defined(KEPT_KEYS_LOOK_FIRST)
#define WRITES_UNLOCKED !LOCKED_OUT(p)
#endif
#define TRY_KEY(place, at_epoch) \
  :: d_step { written < WRITES && WRITES_BY_KEY(place, at_epoch) -> p = place; e = at_epoch }

/* A commit counts as acknowledged at once. */
inline commit() {
  ASSERT(I1_one_home, p == 1 - home % 2);
  written++;
  db[p].rows = db[p].rows | ROW(written)
}

/*
 * Tries the lock, then reads the mark with a fresh snapshot, then works. Whether it has entered or writes by a key that it has kept is
 * seen by the mark alone: an entry is refused under a fence, and such a write is not.
 */
proctype Writer() {
  bit p; unsigned e : 2;
end:
  do
  :: if
     TRY_WRITER(A, 1)
     TRY_WRITER(B, 2)
     TRY_WRITER(A, 3)
     fi;
     if
     :: d_step { GOES_ON -> AND_LOCKS }
        if
        :: d_step { written < WRITES -> commit(); db[p].shared--; p = 0; e = 0 }
        :: d_step { ROUGH || written == WRITES -> db[p].shared--; p = 0; e = 0 }
        fi
     :: d_step { IS_REFUSED -> OR_UNLOCKS; p = 0; e = 0 }
     fi
#if defined(KEPT_KEYS_TAKE_NO_LOCK) || defined(KEPT_KEYS_LOOK_FIRST)
  :: if
     TRY_KEY(A, 1)
     TRY_KEY(B, 2)
     TRY_KEY(A, 3)
     fi;
     d_step { written < WRITES && WRITES_UNLOCKED -> commit(); p = 0; e = 0 }
#endif
  od
}

#define TRY_READER(place, at_epoch) \
  :: d_step { IS_READER_AT(place, at_epoch) -> p = place; e = at_epoch; expected = ALL_ROWS; db[p].reading++ }

/*
 * A reader enters without a lock, or begins with a key that it has kept, and reads whenever it comes to it: at least what was committed
 * when it began, as long as its epoch is the one that the mark names.
 */
proctype Reader() {
  bit p; unsigned e : 2; unsigned expected : 3;
end:
  do
  :: if
     TRY_READER(A, 1)
     TRY_READER(B, 2)
     TRY_READER(A, 3)
     fi;
     d_step {
       ASSERT(no_stale_read, db[p].epoch == e && (db[p].rows & expected) == expected);
       db[p].reading--; p = 0; e = 0; expected = 0 }
  od
}

/* ---- the promises ---- */

#define NEVER(name, condition) :: d_step { !name && (condition) -> ASSERT(name, false) }

proctype Promises() {
end:
  do
  NEVER(I1_one_home, IS_OPEN(A) && IS_OPEN(B))
  NEVER(I2_no_lost_write, IS_OPEN(A) && db[A].rows != ALL_ROWS)
  NEVER(I2_no_lost_write, IS_OPEN(B) && db[B].rows != ALL_ROWS)
  NEVER(I2_no_lost_write, HOME.rows != ALL_ROWS)
  NEVER(I5_point_of_no_return, (BEFORE_SWITCH || phase == aborting || phase == aborted) && !UNTOUCHED(A))
  NEVER(I5_point_of_no_return, (phase == soak || phase == finalize || phase == completed) && !UNTOUCHED(B))
  NEVER(I5_point_of_no_return, phase == rolled_back && !(home == 3 && db[A].epoch == 3 && db[A].mark == ACTIVE))
  NEVER(I5_cancelled_for_good, cancel_requested && IS_SEALED(A))
  NEVER(purge_is_whole, phase == completed && db[A].rows != 0)
  NEVER(purge_is_whole, phase == rolled_back && db[B].rows != 0)
  od
}

#ifdef CALM
/*
 * From every state, with one worker that works on: no endless loop (all that happens before is marked as progress),
 * and in the end the move is over and the tenant is written to. With no worker at all, or one that the catalog does not answer: the
 * tenant is written to, unless its home is sealed, which only a worker can know to be meant.
 */
/* What it has in its memory is of no consequence any more. What its server has under way is. */
inline stand_still(x) {
  if
  :: s[x].at != IDLE && s[x].at != COMMIT_SEAL ->
     s[x].at = REPORT; s[x].event = 0; s[x].back = 0; s[x].token = 0; s[x].compared = false;
     s[x].applying = NONE; s[x].position = 0
  :: else
  fi
}

proctype Weather() {
  byte p;
progress_rough:
  if
  :: d_step { calm = 1; stand_still(1) }
  :: d_step { exchange_names(); calm = 1; stand_still(1) }
  :: d_step { calm = 2; stand_still(0); stand_still(1) }
#ifdef SILENCE
  :: d_step { newest == 0 -> calm = 3; stand_still(1) }
#endif
  fi;
  (calm == 1 && written == WRITES && TERMINAL) || (calm > 1 && (written == WRITES || IS_HELD))
}
#endif

init {
  byte i;
  atomic {
#ifdef ONLY
    I1_one_home = true; I2_no_lost_write = true; I2_once = true; I5_point_of_no_return = true;
    I5_cancelled_for_good = true; no_stale_read = true; table_is_total = true; purge_is_whole = true;
    ONLY = false;
#endif
    db[A].mark = ACTIVE; db[A].epoch = 1;
    db[B].mark = ABSENT;
    run Worker(0); run Worker(1); run World(); run Promises();
#ifdef CALM
    run Weather();
#endif
    for (i : 1 .. WRITERS) { run Writer() }
#if READERS
    for (i : 1 .. READERS) { run Reader() }
#endif
    i = 0
  }
}
