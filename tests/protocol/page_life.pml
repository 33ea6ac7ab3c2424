/* The life of a page between its home and its owner (docs/page.md; design 5), for spin. README.md here maps each part to the code.

   2 writers (homes; 0 has two pages, 1 has one), 1 owner with 2 slots, 1 reader, and the network, which lands what is in flight in
   any order, and drops or damages a few parts of it. The ranks are joined by nothing but the control exchange of each step. */

#define SLOTS 2
#define PAGES 3                       /* pages 0 and 1 are blocks of writer 0, page 2 is the block of writer 1 */
#define HOME_OF(page) ((page) / 2)
#define CONTENT(page) ((page) + 1)    /* what either half of a page's payload reads as */
#define DAMAGED 0                     /* what fits no checksum: never written, or damaged */
#define NONE 15                       /* no page, slot or home */
#define LONGEST_GET 1                 /* control exchanges that a get may stay in flight across */
#define PATIENCE 8                    /* steps */

/* What a search spends, set with -D (spin_test.py): the states grow about tenfold with each. */
#ifndef FAULTS
#define FAULTS 0                      /* parts of transfers that are dropped or arrive damaged */
#endif
#ifndef EVICTIONS
#define EVICTIONS 0                   /* pages that the owner drops, in the way or rotten */
#endif
#ifndef MIGRATIONS
#define MIGRATIONS 0                  /* own pages that a home moves to another slot; between owners: page_move.pml */
#endif
#ifdef ANY_START                      /* writer 1 begins in any step, else in the first */
#define BEGINS_LATER(w) ((w) == 1)
#else
#define BEGINS_LATER(w) false
#endif
#ifdef PROGRESS                       /* counts the steps in which nothing moved */
#define COUNTED true
#else
#define COUNTED false
#endif

/* ---- THE RULES. One flag of spin (-D name) breaks one rule; the rest of the file has no other variant. ---- */

#ifdef header_before_payload          /* headers follow payloads without a flush between them */
#define FLUSH_BEFORE_HEADERS false
#else
#define FLUSH_BEFORE_HEADERS true
#endif

#ifdef announced_before_flush         /* a push counts as sent before it is flushed */
#define FLUSH_BEFORE_ANNOUNCING false
#else
#define FLUSH_BEFORE_ANNOUNCING true
#endif

#ifdef repeat_overwrites_acknowledged /* repeats a step early, when the acknowledgement may be under way */
#define REPEAT_AFTER 1
#else
#define REPEAT_AFTER 2
#endif

#ifdef damaged_looked_at_again_at_once /* looks at a damaged push in every step, also while it is being repeated */
#define LOOK_ONLY_AFTER_REPEAT false
#else
#define LOOK_ONLY_AFTER_REPEAT true
#endif

#ifdef copy_freed_before_acknowledged /* the home takes a page for remote as soon as it has been pushed */
#define KEEP_UNTIL_ACKNOWLEDGED false
#else
#define KEEP_UNTIL_ACKNOWLEDGED true
#endif

#ifdef index_without_checksum
#define INDEX_CHECKS_PAYLOAD false
#else
#define INDEX_CHECKS_PAYLOAD true
#endif

#ifdef fetch_without_checksum
#define FETCH_CHECKS_PAYLOAD false
#else
#define FETCH_CHECKS_PAYLOAD true
#endif

#ifdef no_generation_check            /* queries and fetches do not compare generations */
#define SAME_GENERATION(a, b) true
#else
#define SAME_GENERATION(a, b) ((a) == (b))
#endif

#ifdef evict_without_bump             /* an emptied slot keeps its generation */
#define BUMP 0
#else
#define BUMP 1
#endif

#ifdef reuse_without_epoch            /* a retired slot is free at once */
#define RETIRED_OR_FREE FREE
#else
#define RETIRED_OR_FREE RETIRED
#endif

#ifdef reuse_a_step_early             /* "is not less than" instead of "exceeds" */
#define EPOCH_PASSED(slot) (memory[slot].retired_ago >= oldest_ago)
#else
#define EPOCH_PASSED(slot) (memory[slot].retired_ago > oldest_ago)
#endif

#ifdef grants_never_returned
#define RETURN_GRANTS false
#else
#define RETURN_GRANTS true
#endif

/* ---- What must never happen, each by the name that spin's message shows. With -DWRONG_PAGES_ONLY a search looks past the second
   group, what leads to wrong pages, to see that it does. ---- */

bool wrong_page_indexed,                 /* torn, stale, or not the one that was pushed */
     wrong_page_served_to_query,
     wrong_page_fetched,
     slot_lost_or_used_twice,
     page_stuck;                         /* nothing moved for PATIENCE steps though a page or slot waits */

bool page_lost,                          /* gone though its owner did not evict it */
     header_stands_before_its_payload,   /* a ready header beside a payload that has not arrived */
     looked_at_during_transfer,          /* the owner verifies or empties a slot while a put to it is in flight */
     indexed_page_overwritten,           /* a repeat is put into a slot whose page is indexed */
     slot_reused_during_transfer;

inline forbid(what, happens) {
  if
  :: happens -> what = true; assert(!what)
  :: else
  fi
}

#ifdef WRONG_PAGES_ONLY
#define forbid_cause(what, happens) skip
#else
#define forbid_cause(what, happens) forbid(what, happens)
#endif

/* ---- The owner's memory, which puts and gets reach without the owner. ---- */

#define EMPTY 0
#define READY 1
#define FREE 0
#define TAKEN 1
#define RETIRED 2

typedef Slot {
  byte first_half, second_half;                       /* payload */
  byte state, page, header_generation, push;          /* header */
  byte generation, use, retired_ago;                  /* the arena's: not reached by puts */
  byte home = NONE, indexed_page                      /* the index: what it took from the header when that was verified */
}
Slot memory[SLOTS];

/* ---- Puts in flight: at most one per writer and slot. Contents stay as they are until it is waited for. ---- */

#define FIRST 1
#define SECOND 2
#define HEADER 4
typedef Put { byte parts, page, generation, push }
Put put[4];
#define PUT(w, slot) put[2 * (w) + (slot)]
#define IN_FLIGHT_FROM(w) (put[2 * (w)].parts + put[2 * (w) + 1].parts > 0)
#define IN_FLIGHT_TO(slot) (put[slot].parts + put[2 + (slot)].parts > 0)
byte faults;

inline empty_header(slot) {
  memory[slot].state = EMPTY; memory[slot].page = 0; memory[slot].header_generation = 0; memory[slot].push = 0
}

/* A half of a payload arrives, arrives damaged, or is dropped. */
inline land(half) {
  if
  :: half = CONTENT(put[i].page)
  :: faults < FAULTS -> faults++; half = DAMAGED
  :: faults < FAULTS -> faults++
  fi
}

inline land_header(slot) {
  forbid_cause(header_stands_before_its_payload, put[i].parts > 0);
  if
  :: memory[slot].state = READY; memory[slot].page = put[i].page;
     memory[slot].header_generation = put[i].generation; memory[slot].push = put[i].push
  :: faults < FAULTS -> faults++; empty_header(slot)
  :: faults < FAULTS -> faults++
  fi
}

active proctype Network() {
  byte i;
end:
  do
  :: atomic {
       if
       :: put[0].parts > 0 -> i = 0
       :: put[1].parts > 0 -> i = 1
       :: put[2].parts > 0 -> i = 2
       :: put[3].parts > 0 -> i = 3
       fi;
       if
       :: put[i].parts & FIRST  -> put[i].parts = put[i].parts - FIRST;  land(memory[i % 2].first_half)
       :: put[i].parts & SECOND -> put[i].parts = put[i].parts - SECOND; land(memory[i % 2].second_half)
       :: put[i].parts & HEADER -> put[i].parts = put[i].parts - HEADER; land_header(i % 2);
          if
          :: put[i].parts == 0 -> put[i].page = 0; put[i].generation = 0; put[i].push = 0
          :: else
          fi
       fi;
       i = 0
     }
  od
}

/* ---- The control exchange: each rank sends its message, then waits until all of this step are there. A rank may thus be one
   exchange ahead of another, never two. Ranks: the writers 0 and 1, the owner, the reader. ---- */

#define OWNER 2
#define READER 3
byte sent_messages[4];   /* mod 3 */
#define SEND(me) sent_messages[me] = (sent_messages[me] + 1) % 3
#define HAS_SENT(rank, me) (sent_messages[rank] != (sent_messages[me] + 2) % 3)
#define ALL_HAVE_SENT(me) (HAS_SENT(0, me) && HAS_SENT(1, me) && HAS_SENT(OWNER, me) && HAS_SENT(READER, me))
bool over;               /* everyone is done */

chan to_writer[2] = [2] of { byte, byte, byte, byte, byte, byte };       /* indexed; grants; slot, generation of each */
chan to_owner[2] = [2] of { byte, byte, byte, byte, byte, byte, bool };  /* sent, asked, unwanted, drop from, retire slot, generation; idle */
chan from_reader = [2] of { byte, bool };                                /* steps since its get began; idle */

/* ---- Homes. What they keep is global so that the reader can take names from directories and checks can compare. ---- */

#define OPEN 0       /* not filled yet */
#define SEALED 1     /* waits for a slot */
#define PENDING 2
#define REMOTE 3
#define RELEASED 4
typedef Entry { byte life, slot, generation }
Entry directory[PAGES];
typedef Pushed { byte page, slot, generation, age; bool released }   /* age: steps since it was pushed, at most 2 */
Pushed pending[4];                                                     /* two per writer, the oldest first */
#define PENDING_OF(w, i) pending[2 * (w) + (i)]
byte pendings[2], sent[2], migrations;
byte lost[2] = NONE;       /* first page of the writer that the reader found gone */

/* ---- The owner's books. ---- */

byte lent_slot[4], lents[2], indexed[2];   /* two per writer, the oldest first */
#define LENT(w, i) lent_slot[2 * (w) + (i)]
#define IS_LENT(w, s) ((lents[w] > 0 && LENT(w, 0) == (s)) || (lents[w] > 1 && LENT(w, 1) == (s)))
byte evictions, evicted_page = NONE, quiet;

/* ---- The reader's get. ---- */

#define BAD 2     /* what it may find of a header, besides READY */
#define GONE 3
byte get_page = NONE, get_slot, get_generation;
bool get_of_sound_page;

/* ---- A home: asks, pushes, repeats, rewinds, releases (shards/home.cpp, home_push.cpp). One turn of its loop is a step. ---- */

inline start_put(w, n) {
  PUT(w, PENDING_OF(w, n).slot).parts = FIRST + SECOND;
  PUT(w, PENDING_OF(w, n).slot).page = PENDING_OF(w, n).page;
  PUT(w, PENDING_OF(w, n).slot).generation = PENDING_OF(w, n).generation;
  PUT(w, PENDING_OF(w, n).slot).push = (sent[w] - pendings[w] + 5 + n) % 4;
  PENDING_OF(w, n).age = 0;
  started = true;
  if
  :: !FLUSH_BEFORE_HEADERS -> PUT(w, PENDING_OF(w, n).slot).parts = FIRST + SECOND + HEADER
  :: else
  fi
}

inline forget_from(w, from, life_then) {
  i = 0;
  if
  :: moving != NONE && moving >= from -> moving = NONE
  :: else
  fi;
  do
  :: i < pendings[w] -> PENDING_OF(w, i).released = PENDING_OF(w, i).released || PENDING_OF(w, i).page >= from; i++
  :: else -> break
  od;
  p = from;
  do
  :: p < end_page ->
     if
     :: directory[p].life == PENDING || directory[p].life == REMOTE -> drop_from = (from < drop_from -> from : drop_from)
     :: else
     fi;
     directory[p].life = life_then; directory[p].slot = 0; directory[p].generation = 0;
     p++
  :: else -> break
  od;
  lost[w] = NONE
}

#define FIRST_SEALED(w) (directory[2 * (w)].life == SEALED -> 2 * (w) : \
                         ((w) == 0 && directory[1].life == SEALED -> 1 : NONE))
#define FIRST_OPEN(w) (directory[2 * (w)].life == OPEN -> 2 * (w) : ((w) == 0 && directory[1].life == OPEN -> 1 : NONE))
#define SEALED_PAGES(w) ((directory[2 * (w)].life == SEALED -> 1 : 0) + ((w) == 0 && directory[1].life == SEALED -> 1 : 0))
#define ALL_ARE(w, what) (directory[2 * (w)].life == what && ((w) == 1 || directory[1].life == what))

/* A page is moved by fetching it, pushing it elsewhere, and retiring its old place once the new one is acknowledged. */
#define CAN_BE_FETCHED(p) (directory[p].life == REMOTE && memory[directory[p].slot].home != NONE && \
                           memory[directory[p].slot].generation == directory[p].generation)

active [2] proctype Writer() {
  byte w = _pid - 1;
  byte end_page = (w == 0 -> 2 : 3);
  byte credits, credit_slot[2], credit_generation[2];
  byte retires, retire_slot[2], retire_generation[2];
  byte drop_from = NONE, asked, asked_before, grows = NONE, moving = NONE;
  bool started;
  byte i, p, need, unwanted, acknowledged, grants, slot0, generation0, slot1, generation1;   /* scratch, 0 between steps */

  do
  :: atomic { !FLUSH_BEFORE_ANNOUNCING || !IN_FLIGHT_FROM(w) ->
next_step:
       /* Between steps: a lost page rewinds its stream; a sequence may end, and does at last if the other writer waits for its slots. */
       if
       :: lost[w] != NONE -> forget_from(w, lost[w], OPEN)
       :: lost[w] == NONE && !ALL_ARE(w, RELEASED) -> forget_from(w, 2 * w, RELEASED)
       :: lost[w] == NONE && migrations < MIGRATIONS && moving == NONE && CAN_BE_FETCHED(2 * w) -> migrations++; moving = 2 * w
       :: lost[w] == NONE && !(ALL_ARE(w, REMOTE) && SEALED_PAGES(1 - w) > 0 && (quiet >= 2 || !COUNTED))
       fi;
       /* Its message: it may fill a page in this step, and then asks for a slot ahead. */
       if
       :: grows = FIRST_OPEN(w)
       :: BEGINS_LATER(w) -> grows = NONE
       fi;
       need = SEALED_PAGES(w) + (grows != NONE -> 1 : 0) + (moving != NONE -> 1 : 0);
       asked = (need > credits + asked_before -> need - credits - asked_before : 0);
       unwanted = (RETURN_GRANTS && asked_before == 0 && credits > need -> credits - need : 0);
       credits = credits - unwanted;
       to_owner[w]!sent[w], asked, unwanted, drop_from, (retires > 0 -> retire_slot[0] : NONE), retire_generation[0],
                   (ALL_ARE(w, RELEASED) && pendings[w] + credits + asked + asked_before + unwanted + retires == 0 && drop_from == NONE);
       drop_from = NONE;
       if
       :: retires > 0 ->
          retires--; retire_slot[0] = retire_slot[1]; retire_generation[0] = retire_generation[1];
          retire_slot[1] = 0; retire_generation[1] = 0
       :: else
       fi;
       need = 0; unwanted = 0; i = 0; p = 0;
       SEND(w)
     }
     atomic { ALL_HAVE_SENT(w) || over ->
       if
       :: over -> goto done
       :: else
       fi;
       to_writer[w]?acknowledged, grants, slot0, generation0, slot1, generation1;
       if
       :: grants > 0 -> credit_slot[credits] = slot0; credit_generation[credits] = generation0; credits++
       :: else
       fi;
       if
       :: grants > 1 -> credit_slot[credits] = slot1; credit_generation[credits] = generation1; credits++
       :: else
       fi;
       asked_before = asked; asked = 0;
       /* Acknowledged pages are remote, and the home's copies free; what was released meanwhile is retired at the owner. */
       do
       :: (sent[w] - acknowledged + 4) % 4 < pendings[w] ->
          if
          :: PENDING_OF(w, 0).released ->
             retire_slot[retires] = PENDING_OF(w, 0).slot; retire_generation[retires] = PENDING_OF(w, 0).generation; retires++
          :: else ->
             p = PENDING_OF(w, 0).page;
             if
             :: directory[p].life == PENDING -> directory[p].life = REMOTE
             :: directory[p].life == REMOTE && MIGRATIONS > 0 ->   /* it has moved: its old place is retired */
                retire_slot[retires] = directory[p].slot; retire_generation[retires] = directory[p].generation; retires++;
                directory[p].slot = PENDING_OF(w, 0).slot; directory[p].generation = PENDING_OF(w, 0).generation
             :: else
             fi
          fi;
          pendings[w]--;
          PENDING_OF(w, 0).page = PENDING_OF(w, 1).page; PENDING_OF(w, 0).slot = PENDING_OF(w, 1).slot;
          PENDING_OF(w, 0).generation = PENDING_OF(w, 1).generation; PENDING_OF(w, 0).age = PENDING_OF(w, 1).age;
          PENDING_OF(w, 0).released = PENDING_OF(w, 1).released;
          PENDING_OF(w, 1).page = 0; PENDING_OF(w, 1).slot = 0; PENDING_OF(w, 1).generation = 0; PENDING_OF(w, 1).age = 0;
          PENDING_OF(w, 1).released = false
       :: else -> break
       od;
       /* The end of the step. The page is full, unless the stream was damaged in this step. */
       if
       :: grows != NONE && lost[w] == NONE -> directory[grows].life = SEALED
       :: else
       fi;
       grows = NONE;
       /* The oldest push was not acknowledged though the owner has looked: it and what is behind it are put again. */
       i = 0;
       do
       :: i < pendings[w] -> PENDING_OF(w, i).age = (PENDING_OF(w, i).age < 2 -> PENDING_OF(w, i).age + 1 : 2); i++
       :: else -> break
       od;
       i = 0;
       if
       :: pendings[w] > 0 && PENDING_OF(w, 0).age >= REPEAT_AFTER ->
          do
          :: i < pendings[w] ->
             if
             :: PENDING_OF(w, i).age >= REPEAT_AFTER ->
                forbid_cause(indexed_page_overwritten, memory[PENDING_OF(w, i).slot].home != NONE);
                start_put(w, i)
             :: else
             fi;
             i++
          :: else -> break
          od
       :: else
       fi;
       /* Sealed pages go into the oldest grants. */
       do
       :: credits > 0 && (FIRST_SEALED(w) != NONE || moving != NONE) ->
          p = (FIRST_SEALED(w) != NONE -> FIRST_SEALED(w) : moving);
          forbid(slot_lost_or_used_twice, !IS_LENT(w, credit_slot[0]) || memory[credit_slot[0]].generation != credit_generation[0]);
          if
          :: directory[p].life == SEALED ->
             directory[p].life = (KEEP_UNTIL_ACKNOWLEDGED -> PENDING : REMOTE);
             directory[p].slot = credit_slot[0]; directory[p].generation = credit_generation[0]
          :: else -> moving = NONE   /* remote at its old place until the new one is acknowledged */
          fi;
          PENDING_OF(w, pendings[w]).page = p; PENDING_OF(w, pendings[w]).slot = credit_slot[0];
          PENDING_OF(w, pendings[w]).generation = credit_generation[0];
          pendings[w]++; sent[w] = (sent[w] + 1) % 4;
          start_put(w, pendings[w] - 1);
          credits--;
          credit_slot[0] = credit_slot[1]; credit_generation[0] = credit_generation[1];
          credit_slot[1] = 0; credit_generation[1] = 0
       :: else -> break
       od;
       i = 0; p = 0; acknowledged = 0; grants = 0; slot0 = 0; generation0 = 0; slot1 = 0; generation1 = 0;
       if
       :: !started -> goto next_step
       :: started && !FLUSH_BEFORE_HEADERS -> started = false; goto headers_started
       :: else
       fi
     }
     /* The flush of the payloads, then the headers; the flush of these is waited for before the next message. */
     atomic { !IN_FLIGHT_FROM(w) ->
       started = false;
       i = 0;
       do
       :: i < pendings[w] ->
          if
          :: PENDING_OF(w, i).age == 0 -> PUT(w, PENDING_OF(w, i).slot).parts = HEADER
          :: else
          fi;
          i++
       :: else -> break
       od;
       i = 0
     }
headers_started:
     skip
  od;
done:
  skip
}

/* ---- The owner: indexes what was announced, retires, reclaims, grants (shards/owner.cpp, arena.cpp). One turn is a step. ---- */

inline retire(slot) {
  forbid_cause(looked_at_during_transfer, IN_FLIGHT_TO(slot));
  empty_header(slot);
  memory[slot].generation = memory[slot].generation + BUMP;
  memory[slot].home = NONE; memory[slot].indexed_page = 0; memory[slot].use = RETIRED_OR_FREE; memory[slot].retired_ago = 0;
  moved = true
}

inline index_arrived(w) {
  if
  :: wait_for_repeat[w] -> wait_for_repeat[w] = false
  :: else ->
     do
     :: indexed[w] != announced ->
        s = LENT(w, 0);
        forbid_cause(looked_at_during_transfer, IN_FLIGHT_TO(s));
        if
        :: memory[s].state == READY && memory[s].header_generation == memory[s].generation && memory[s].push == (indexed[w] + 1) % 4 &&
           (!INDEX_CHECKS_PAYLOAD ||
            (memory[s].first_half == CONTENT(memory[s].page) && memory[s].second_half == CONTENT(memory[s].page))) ->
           /* The home still has what it pushed under this number. */
           n = (indexed[w] - sent[w] + pendings[w] + 4) % 4;
           forbid(wrong_page_indexed, memory[s].page != PENDING_OF(w, n).page || s != PENDING_OF(w, n).slot ||
                                     memory[s].first_half != CONTENT(memory[s].page) || memory[s].second_half != CONTENT(memory[s].page));
           indexed[w] = (indexed[w] + 1) % 4;
           memory[s].home = w; memory[s].indexed_page = memory[s].page;
           lents[w]--; LENT(w, 0) = LENT(w, 1); LENT(w, 1) = 0;
           moved = true
        :: else -> wait_for_repeat[w] = LOOK_ONLY_AFTER_REPEAT; break
        fi
     :: else -> break
     od
  fi
}

inline grant(w) {
  s = (memory[0].use == FREE -> 0 : 1);
  forbid_cause(slot_reused_during_transfer, IN_FLIGHT_TO(s) || (get_page != NONE && get_of_sound_page && get_slot == s));
  memory[s].use = TAKEN;
  LENT(w, lents[w]) = s; lents[w]++; asked[w]--; unsent[w]++;
  moved = true
}

inline write_control(w) {
  to_writer[w]!indexed[w], unsent[w],
               (unsent[w] > 0 -> LENT(w, lents[w] - unsent[w]) : 0),
               (unsent[w] > 0 -> memory[LENT(w, lents[w] - unsent[w])].generation : 0),
               (unsent[w] > 1 -> LENT(w, lents[w] - 1) : 0),
               (unsent[w] > 1 -> memory[LENT(w, lents[w] - 1)].generation : 0);
  unsent[w] = 0
}

inline every_slot_is_somewhere_once() {
  s = 0;
  do
  :: s < SLOTS ->
     forbid(slot_lost_or_used_twice,
           (memory[s].use != TAKEN -> 1 : 0) + (memory[s].home != NONE -> 1 : 0) +
           (lents[0] > 0 && LENT(0, 0) == s -> 1 : 0) + (lents[0] > 1 && LENT(0, 1) == s -> 1 : 0) +
           (lents[1] > 0 && LENT(1, 0) == s -> 1 : 0) + (lents[1] > 1 && LENT(1, 1) == s -> 1 : 0) != 1);
     s++
  :: else -> break
  od
}

active proctype Owner() {
  byte asked[2], unsent[2];
  bool wait_for_repeat[2];
  byte s, w, n, announced, unwanted, drop_from, retire_slot, retire_generation, oldest_ago;   /* scratch, 0 between steps */
  bool idle, all_idle, moved;

  atomic { write_control(0); write_control(1); SEND(OWNER) }
  do
  :: atomic { ALL_HAVE_SENT(OWNER) ->
       from_reader?oldest_ago, all_idle;
       s = 0;
       do
       :: s < SLOTS ->
          if
          :: memory[s].use == RETIRED ->
             memory[s].retired_ago = (memory[s].retired_ago > LONGEST_GET -> memory[s].retired_ago : memory[s].retired_ago + 1);
             if
             :: EPOCH_PASSED(s) ->
                memory[s].use = FREE; memory[s].retired_ago = 0; moved = true;
                memory[s].first_half = DAMAGED; memory[s].second_half = DAMAGED   /* whatever is left there fits no header to come */
             :: else
             fi
          :: else
          fi;
          s++
       :: else -> break
       od;
       w = 0;
       do
       :: w < 2 ->
          to_owner[w]?announced, asked[w], unwanted, drop_from, retire_slot, retire_generation, idle;
          all_idle = all_idle && idle;
          index_arrived(w);
          s = 0;
          do
          :: s < SLOTS ->
             if
             :: memory[s].home == w && (memory[s].indexed_page >= drop_from ||
                                        (s == retire_slot && memory[s].generation == retire_generation)) -> retire(s)
             :: else
             fi;
             s++
          :: else -> break
          od;
          do
          :: unwanted > 0 -> unwanted--; lents[w]--; retire(LENT(w, lents[w])); LENT(w, lents[w]) = 0
          :: else -> break
          od;
          w++
       :: else -> break
       od;
       /* In the way, or rotten: its home will find the page stale. */
       if
       :: evictions < EVICTIONS && memory[0].home != NONE -> evictions++; evicted_page = memory[0].indexed_page; retire(0)
       :: evictions < EVICTIONS && memory[1].home != NONE -> evictions++; evicted_page = memory[1].indexed_page; retire(1)
       :: true
       fi;
       do
       :: asked[0] > 0 && (memory[0].use == FREE || memory[1].use == FREE) -> grant(0)
       :: asked[1] > 0 && (memory[0].use == FREE || memory[1].use == FREE) -> grant(1)
       :: else -> break
       od;
       every_slot_is_somewhere_once();
       over = all_idle && memory[0].use == FREE && memory[1].use == FREE;
       if
       :: COUNTED && !moved && (all_idle || SEALED_PAGES(0) + SEALED_PAGES(1) + pendings[0] + pendings[1] > 0) -> quiet++
       :: else -> quiet = 0
       fi;
       forbid(page_stuck, quiet > PATIENCE);
       asked[0] = 0; asked[1] = 0;
       s = 0; w = 0; n = 0; announced = 0; drop_from = 0; retire_slot = 0; retire_generation = 0; oldest_ago = 0;
       idle = false; all_idle = false; moved = false;
       if
       :: over -> break
       :: else -> write_control(0); write_control(1); SEND(OWNER)
       fi
     }
  od
}

/* ---- The reader: by the names that the homes' directories hold, by query or by get (shards/queries.cpp, replicas.cpp). In the code
   a home reads its own pages; set free of the home's other work, every order of the two occurs. ---- */

inline found_gone(which) {
  if
  :: directory[which].life == REMOTE && directory[which].slot == get_slot && directory[which].generation == get_generation ->
     forbid_cause(page_lost, evicted_page != which);
     lost[HOME_OF(which)] = (which < lost[HOME_OF(which)] -> which : lost[HOME_OF(which)])
  :: else   /* its home has let it go meanwhile */
  fi
}

#define SOME_REMOTE (directory[0].life == REMOTE || directory[1].life == REMOTE || directory[2].life == REMOTE)

inline choose_remote(which) {
  if
  :: directory[0].life == REMOTE -> which = 0
  :: directory[1].life == REMOTE -> which = 1
  :: directory[2].life == REMOTE -> which = 2
  fi;
  get_slot = directory[which].slot; get_generation = directory[which].generation
}

#define HEADER_FITS (memory[get_slot].state == READY && memory[get_slot].page == get_page && \
                     SAME_GENERATION(memory[get_slot].header_generation, get_generation))

inline get_half(part, half) {
  got = got + part;
  if
  :: sound_payload = sound_payload && half == CONTENT(get_page)
  :: faults < FAULTS -> faults++; sound_payload = false
  fi
}

active proctype Reader() {
  byte age, p, got, header;
  bool sound_payload = true;   /* so far */

  atomic { from_reader!0, true; SEND(READER) }
  do
  :: over -> break
  :: atomic { ALL_HAVE_SENT(READER) && (get_page == NONE || age < LONGEST_GET) ->   /* the next step */
       age = (get_page == NONE -> 0 : age + 1);
       from_reader!age, (get_page == NONE);
       SEND(READER)
     }
  :: atomic { ALL_HAVE_SENT(READER) && get_page == NONE && SOME_REMOTE ->
       /* A shipped query: the owner attends the page if it holds it. The payload was verified when it was indexed. */
       choose_remote(p);
       if
       :: memory[get_slot].home != NONE && SAME_GENERATION(memory[get_slot].generation, get_generation) &&
          HOME_OF(memory[get_slot].indexed_page) == HOME_OF(p) ->
          forbid(wrong_page_served_to_query, memory[get_slot].first_half != CONTENT(p) || memory[get_slot].second_half != CONTENT(p))
       :: else -> found_gone(p)
       fi;
       p = 0; get_slot = 0; get_generation = 0
     }
  :: atomic { ALL_HAVE_SENT(READER) && get_page == NONE && SOME_REMOTE ->
       /* A fetch: header and payload come one-sided, in any order. */
       choose_remote(get_page);
       get_of_sound_page = memory[get_slot].home != NONE && memory[get_slot].generation == get_generation
     }
  :: atomic { ALL_HAVE_SENT(READER) && get_page != NONE && (got & HEADER) == 0 ->
       got = got + HEADER;
       if
       :: HEADER_FITS -> header = READY
       :: !HEADER_FITS -> header = GONE
       :: faults < FAULTS -> faults++; header = BAD
       fi
     }
  :: atomic { ALL_HAVE_SENT(READER) && get_page != NONE && (got & FIRST) == 0 -> get_half(FIRST, memory[get_slot].first_half) }
  :: atomic { ALL_HAVE_SENT(READER) && get_page != NONE && (got & SECOND) == 0 -> get_half(SECOND, memory[get_slot].second_half) }
  :: atomic { got == FIRST + SECOND + HEADER ->
       if
       :: header == BAD || (header == READY && FETCH_CHECKS_PAYLOAD && !sound_payload) -> skip   /* damaged: again */
       :: else ->
          if
          :: header == GONE -> found_gone(get_page)
          :: header == READY -> forbid(wrong_page_fetched, !sound_payload)
          fi;
          get_page = NONE; get_slot = 0; get_generation = 0; get_of_sound_page = false; age = 0
       fi;
       got = 0; header = 0; sound_payload = true
     }
  od
}
