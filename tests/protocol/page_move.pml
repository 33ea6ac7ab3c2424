/* A page on the move between owners (docs/page.md, "How a page moves"; shards/migration.hpp), for spin. README.md maps the parts to the code.

   The home H reads its one page by its directory; the old owner A has it; the new owner B has one slot. H orders the move; A asks B for a slot,
   pushes, repeats until acknowledged, and answers H. The network lands the parts of a put in any order, and drops or damages some. The
   ranks are joined by nothing but the control exchange of each step. page_life.pml has what a push is in full; here it is the least that
   a move needs. */

#ifndef FAULTS
#define FAULTS 0                      /* parts of puts that are dropped or arrive damaged */
#endif
#ifndef EVICTIONS
#define EVICTIONS 0                   /* pages that rot at A, before or after they are found, or that B drops */
#endif
#define PATIENCE 40                    /* steps that an order may be unanswered, or a slot taken for a page that nobody has */
#ifndef ORDERS
#define ORDERS 2                      /* a move that was refused is ordered again */
#endif

/* ---- THE RULES. One flag of spin (-D name) breaks one rule. ---- */

#ifdef home_switches_when_pushed      /* A answers as soon as it has pushed */
#define ANSWER_WHEN_ACKNOWLEDGED false
#else
#define ANSWER_WHEN_ACKNOWLEDGED true
#endif

#ifdef old_place_dropped_when_acknowledged   /* A does not wait for H to retire the old place */
#define OLD_PLACE_STAYS false
#else
#define OLD_PLACE_STAYS true
#endif

#ifdef old_slot_not_held              /* a page released at A gives its slot back though a push of it is under way */
#define HOLD false
#else
#define HOLD true
#endif

#ifdef arrived_after_release_kept     /* H does nothing about a page that arrived though it had released it */
#define RETIRE_WHAT_ARRIVED false
#else
#define RETIRE_WHAT_ARRIVED true
#endif

#ifdef rot_not_looked_for             /* A pushes, and repeats, without verifying its own bytes, and seals what is there anew */
#define VERIFY_BEFORE_PUSH false
#else
#define VERIFY_BEFORE_PUSH true
#endif

#ifdef move_never_answered            /* a refused order is not answered */
#define ANSWER_REFUSALS false
#else
#define ANSWER_REFUSALS true
#endif

/* ---- What must never happen. ---- */

bool wrong_page_served, page_lost, wrong_page_indexed, pushed_from_reused_slot, slot_used_twice, page_stuck;

inline forbid(what, happens) {
  if
  :: happens -> what = true; assert(!what)
  :: else
  fi
}

/* What bytes are. */
#define DAMAGED 0
#define PAGE 1
#define NOTHING 2
#define OTHER 3        /* another page's: the slot was reused */

/* Uses of a slot. */
#define FREE 0
#define LENT 1
#define INDEXED 2
#define HELD 3         /* its page has gone, but not the push of it */
#define RETIRED 4

byte a_use = INDEXED, a_bytes = PAGE, a_generation;
byte b_use = FREE, b_first, b_second, b_header, b_header_generation, b_generation, b_page;
bool b_ready;
byte faults, evictions, orders, quiet;
bool evicted, over, a_busy;
byte acted;              /* owners that have acted on this step's exchange: only then do they answer its queries */
#define ALL_HAVE_ACTED (acted == 2)

/* A's put to B's slot: what is in flight. */
#define FIRST 1
#define SECOND 2
#define HEADER 4
byte put_parts, put_bytes, put_header, put_generation;

active proctype Network() {
  do
  :: over -> break
  :: atomic { put_parts & FIRST -> put_parts = put_parts - FIRST;
       if
       :: b_first = put_bytes
       :: faults < FAULTS -> faults++; b_first = DAMAGED
       :: faults < FAULTS -> faults++
       fi }
  :: atomic { put_parts & SECOND -> put_parts = put_parts - SECOND;
       if
       :: b_second = put_bytes
       :: faults < FAULTS -> faults++; b_second = DAMAGED
       :: faults < FAULTS -> faults++
       fi }
  :: atomic { put_parts & HEADER -> put_parts = put_parts - HEADER;
       if
       :: b_ready = true; b_header = put_header; b_header_generation = put_generation
       :: faults < FAULTS -> faults++; b_ready = false
       :: faults < FAULTS -> faults++
       fi }
  od
}

/* ---- The control exchange, as in page_life.pml: a rank may be one ahead of another, never two. ---- */

#define H 0
#define A 1
#define B 2
byte sent_messages[3];   /* mod 3 */
#define SEND(me) sent_messages[me] = (sent_messages[me] + 1) % 3
#define HAS_SENT(rank, me) (sent_messages[rank] != (sent_messages[me] + 2) % 3)
#define ALL_HAVE_SENT(me) (HAS_SENT(H, me) && HAS_SENT(A, me) && HAS_SENT(B, me))

chan h_to_a = [2] of { bool, bool, bool };          /* order; drop of the stream; retire the old place */
chan h_to_b = [2] of { bool, byte };                /* retire; generation */
chan a_to_b = [2] of { bool, bool, bool, bool, byte };   /* sent; asked; unwanted; retire (what was pushed emptied), generation */
chan b_to_a = [2] of { bool, bool, byte };          /* indexed; granted, generation */
chan a_to_h = [2] of { byte, byte };                /* answer, generation at B */
#define NO_ANSWER 0
#define MOVED 1
#define STAYS 2

/* ---- The home (Migration as a home; Store::gather_remote, Queries). ---- */

#define AT_A 0
#define AT_B 1
#define GONE 2           /* released, or found stale and rewound: the same to this page */

active proctype Home() {
  byte place = AT_A, generation, answer, there;
  bool outstanding, order, drop, retire_a, retire_b;
  byte retire_generation;

  do
  :: atomic {
       /* Between steps: the stream may end; a move may be ordered. */
       if
       :: place == AT_A -> drop = true; place = GONE
       :: place == AT_B -> retire_b = true; retire_generation = generation; place = GONE
       :: place == AT_A && !outstanding && orders < ORDERS -> orders++; order = true; outstanding = true
       :: true
       fi;
       h_to_a!order, drop, retire_a;
       h_to_b!retire_b, retire_generation;
       order = false; drop = false; retire_a = false; retire_b = false; retire_generation = 0;
       SEND(H)
     }
     atomic { ALL_HAVE_SENT(H) || over ->
       if
       :: over -> break
       :: else
       fi;
       a_to_h?answer, there;
       if
       :: answer == NO_ANSWER
       :: else -> outstanding = false;
          if
          :: answer == MOVED && place == AT_A -> place = AT_B; generation = there; retire_a = true
          :: answer == MOVED && place != AT_A && RETIRE_WHAT_ARRIVED -> retire_b = true; retire_generation = there
          :: else
          fi
       fi;
       answer = 0; there = 0;
       quiet = (outstanding || (place == GONE && !retire_a && !retire_b && (b_use != FREE || a_use != FREE)) -> quiet + 1 : 0);
       forbid(page_stuck, quiet > PATIENCE);
       over = place == GONE && !outstanding && !retire_a && !retire_b && b_use == FREE && a_use == FREE && !a_busy
     }
     /* The step: it reads its page where its directory says. An owner that has begun this step has acted on the exchange. */
     atomic { over || (ALL_HAVE_ACTED) ->
       if
       :: over -> break
       :: place == AT_A && !over ->
          if
          :: a_use == INDEXED -> forbid(wrong_page_served, a_bytes == OTHER)
          :: else -> forbid(page_lost, !evicted); drop = true; place = GONE
          fi
       :: place == AT_B && !over ->
          if
          :: b_use == INDEXED && b_generation == generation -> forbid(wrong_page_served, b_page != PAGE || b_first != PAGE || b_second != PAGE)
          :: else -> forbid(page_lost, !evicted); retire_b = true; retire_generation = generation; place = GONE
          fi
       :: place == GONE
       fi;
       acted = 0
     }
  od
}

/* ---- The old owner (Owner, Migration as an owner, Home's channel to B). ---- */

inline leave_slot() {   /* the page is unindexed */
  if
  :: pending && HOLD -> a_use = HELD
  :: else -> a_use = RETIRED; a_generation++
  fi
}

inline start_put() {
  forbid(pushed_from_reused_slot, a_use != INDEXED && a_use != HELD);
  put_bytes = (emptied -> NOTHING : a_bytes);
  put_header = (emptied -> NOTHING : (VERIFY_BEFORE_PUSH || a_bytes != DAMAGED -> PAGE : DAMAGED));
  put_generation = grant_generation;
  put_parts = FIRST + SECOND;
  age = 0
}

active proctype OldOwner() {
  bool leaving, has_grant, pending, emptied, asked, asked_before, unwanted, sent, retires, order, drop, retire, indexed, granted;
  byte grant_generation, generation, age, answer, answer_generation, retire_generation, reuse;

  do
  :: atomic { put_parts == 0 ->
       asked = leaving && !has_grant && !asked_before;
       unwanted = has_grant && !leaving && !asked_before;
       has_grant = has_grant && !unwanted;
       a_to_b!sent, asked, unwanted, retires, retire_generation;
       a_to_h!answer, answer_generation;
       retires = false; retire_generation = 0; unwanted = false; answer = NO_ANSWER; answer_generation = 0;
       SEND(A)
     }
     atomic { ALL_HAVE_SENT(A) || over ->
       if
       :: over -> break
       :: else
       fi;
       h_to_a?order, drop, retire;
       b_to_a?indexed, granted, generation;
       if   /* a retired slot is reused for another page, if there is one */
       :: a_use == RETIRED -> a_use = FREE; a_bytes = OTHER
       :: else
       fi;
       if
       :: (drop || retire) && a_use == INDEXED -> leave_slot()
       :: else
       fi;
       if
       :: granted -> has_grant = true; grant_generation = generation
       :: else
       fi;
       if   /* refused */
       :: asked_before && !granted && leaving -> leaving = false; answer = (ANSWER_REFUSALS -> STAYS : NO_ANSWER)
       :: else
       fi;
       asked_before = asked; asked = false;
       if   /* acknowledged */
       :: pending && indexed ->
          pending = false; sent = false;
          if
          :: emptied -> retires = true; retire_generation = grant_generation; answer = STAYS
          :: else -> answer = MOVED; answer_generation = grant_generation
          fi;
          emptied = false;
          if
          :: a_use == HELD -> a_use = RETIRED; a_generation++
          :: a_use == INDEXED && !OLD_PLACE_STAYS -> leave_slot()
          :: else
          fi
       :: else
       fi;
       if
       :: order -> leaving = true
       :: else
       fi;
       if   /* the scrub finds it rotten, or it rots and nobody notices yet */
       :: a_use == INDEXED && evictions < EVICTIONS -> evictions++; evicted = true; leave_slot()
       :: (a_use == INDEXED || a_use == HELD) && a_bytes == PAGE && evictions < EVICTIONS -> evictions++; evicted = true; a_bytes = DAMAGED
       :: true
       fi;
       acted++;
       a_busy = leaving || pending || asked_before || has_grant || retires || answer != NO_ANSWER
     }
     atomic { acted == 0 || over ->   /* the step's queries are answered */
       if
       :: over -> break
       :: else
       fi;
       age = (age < 2 -> age + 1 : 2);
       if
       :: pending && age >= 2 ->
          if
          :: VERIFY_BEFORE_PUSH && a_bytes != PAGE && !emptied -> emptied = true;
             if
             :: a_use == INDEXED -> leave_slot()
             :: else
             fi
          :: else
          fi;
          start_put()
       :: !pending && leaving && has_grant ->
          leaving = false;
          if
          :: a_use != INDEXED -> answer = STAYS
          :: a_use == INDEXED && VERIFY_BEFORE_PUSH && a_bytes != PAGE -> leave_slot(); answer = STAYS
          :: else -> has_grant = false; pending = true; sent = true; start_put();
             if
             :: !ANSWER_WHEN_ACKNOWLEDGED -> answer = MOVED; answer_generation = grant_generation
             :: else
             fi
          fi
       :: else
       fi;
       order = false; drop = false; retire = false; indexed = false; granted = false; generation = 0
     }
     if
     :: atomic { put_parts == 0 && pending && age == 0 -> put_parts = HEADER }   /* after the flush */
     :: atomic { !pending || age > 0 -> skip }
     fi
  od
}

/* ---- The new owner (Owner). ---- */

inline empty_slot() { b_ready = false; b_header = 0; b_header_generation = 0; b_page = 0; b_generation++; b_use = RETIRED }

active proctype NewOwner() {
  bool indexed, granted, announced, asked, unwanted, retire, retire_too, look_later;
  byte generation, generation_too;

  do
  :: atomic {
       b_to_a!indexed, granted, (granted -> b_generation : 0);
       indexed = false; granted = false;
       SEND(B)
     }
     atomic { ALL_HAVE_SENT(B) || over ->
       if
       :: over -> break
       :: else
       fi;
       a_to_b?announced, asked, unwanted, retire, generation;
       h_to_b?retire_too, generation_too;
       if
       :: b_use == RETIRED -> b_use = FREE; b_first = DAMAGED; b_second = DAMAGED
       :: else
       fi;
       if
       :: announced && b_use == LENT && look_later -> look_later = false
       :: announced && b_use == LENT && !look_later ->
          if
          :: b_ready && b_header_generation == b_generation && b_first == b_header && b_second == b_header ->
             forbid(wrong_page_indexed, b_header != PAGE && b_header != NOTHING);
             b_use = INDEXED; b_page = b_header; indexed = true
          :: else -> look_later = true
          fi
       :: else
       fi;
       if
       :: b_use == INDEXED && ((retire && generation == b_generation) || (retire_too && generation_too == b_generation)) -> empty_slot()
       :: else
       fi;
       if
       :: unwanted -> forbid(slot_used_twice, b_use != LENT); empty_slot()
       :: else
       fi;
       if   /* in the way, or rotten */
       :: b_use == INDEXED && b_page == PAGE && evictions < EVICTIONS -> evictions++; evicted = true; empty_slot()
       :: true
       fi;
       if
       :: asked && b_use == FREE -> b_use = LENT; granted = true
       :: true   /* others had it */
       fi;
       announced = false; asked = false; unwanted = false; retire = false; retire_too = false; generation = 0; generation_too = 0;
       acted++
     }
     atomic { acted == 0 || over -> skip }
  od
}
