/* The rules of escrow for three hosts, in every order of things. `spin -a` and a C compiler make a program of this that
 * visits each state that can be reached and looks at the invariant there. docs/proof.md tells what was found.
 *
 * It is written from the rules, not from the code. Three things keep it small, and hide nothing:
 *
 * - There are no channels. What was once said may be acted on at any later time, again, in any order, or never: so what
 *   was said is a set that only grows, and hearing is reading from it. Loss, doubling and delay are in that.
 * - Storing and speaking are one step. A word that was stored and is not said yet can't be told from one that was said
 *   and is not heard yet. All other steps of an action are steps of their own: lower, store, raise.
 * - What an agent knows and has not stored is not in the state: each step goes by the disk, the hardware and what was
 *   said. So an agent that crashes between two steps and finds its disk is in the state that it was in, and one that
 *   has lost its disk is like a host that was off for an instant.
 *
 * Watts are small whole numbers. Each host dies at most once, DEATHS of them in all, and GIVES gifts of one watt are
 * made. All hosts are in table 1 at first; table 2, and 3 if LAST is 3, are signed at any later time. `spin -DX` breaks
 * a rule: then the assertion must fail. With one of the goals below it says that this never happens, and that must fail,
 * too: else the proof would be of a model in which little happens. test_promela.py lists both.
 */
#ifndef GIVES
#define GIVES 2 /* at most 3 */
#endif
#ifndef DEATHS
#define DEATHS 1 /* at most 3 */
#endif
#ifndef LAST
#define LAST 2 /* the number of the last table, 2 or 3 */
#endif

/* The tables. The reserve of each host is F, the budget is the sum of the grants; 2 is a cut and a shift in one. */
#define F 1
#ifdef WIDE /* all have something to give */
#define granted(e, i) (e == 2 -> (i == 1 -> 3 : 1) : (i == 0 -> 3 : 2))
#define budget(e) (e == 2 -> 5 : 7)
#else
#define granted(e, i) (e == 2 -> (i == 1 -> 2 : 1) : (i == 0 -> 3 : 1))
#define budget(e) (e == 2 -> 4 : 5)
#endif

/* A host has two lives, 0 and 1. From its death on it is in the next one. */
typedef Host {
  unsigned on : 1;
  unsigned life : 1;
  unsigned epoch : 2;  /* 0: in none */
  unsigned open : 1;   /* or it has only sealed that epoch */
  unsigned rights : 4; /* base + taken - sent */
  unsigned p : 4;      /* the permission in force: the hardware's truth; the rest is on the disk */
  unsigned taken : 12  /* totals, by giver and its life */
}
Host h[3];

/* Totals are counters of two bits, six in a word: for each host j in each life l. */
#define at(j, l) (2 * (2 * (j) + (l)))
#define total(word, j, l) (((word) >> at(j, l)) & 3)
#define set_total(word, j, l, n) word = ((word) & ~(3 << at(j, l))) | ((n) << at(j, l))

/* What was said. A roll tells of each host its life, or 2 for off; a set of rolls has 27 bits. */
short gave_[6 * LAST];   /* the totals, by taker and its life, of: */
#define gave(e, i, l) gave_[6 * (e) - 6 + 2 * (i) + (l)]
byte sealed_[LAST - 1];  /* a bit for each life of each host, from table 2 on, as in all of these: */
#define sealed(e) sealed_[e - 2]
int signs_[3 * LAST - 3]; /* the rolls that a host has countersigned */
#define signs(e, i) signs_[3 * (e) - 6 + (i)]
int certified_[LAST - 1]; /* the rolls in which someone is off, and was so when the power role looked */
#define certified(e) certified_[e - 2]
byte named_[LAST - 1];    /* the lives that the table names: a bit for each host */
#define named(e) named_[e - 2]
byte tables = 1;          /* that are signed */
byte opened = 2;          /* a bit for each epoch, from 1 on, that someone was open in */
#define is_opened(e) ((opened >> (e)) & 1)

#define ROLL(a, b, c) (1 << ((a) + 3 * (b) + 9 * (c)))
/* The rolls in which the host of that digit is off, and all but the roll in which all are. */
#define OFF_0 76695844
#define OFF_1 117670336
#define OFF_2 133955584
#define SOMEONE_ON 67108863

byte completed = 1; /* the last epoch for which there was an instant at which all had sealed it or were off */
byte gives, deaths;
hidden byte k, n; /* in use within a step only, as is: */
hidden int lost;

/* --- The invariant --- */

#define worst(i) (h[i].p > F -> h[i].p : F)
#define said_seal(e, i, l) ((sealed(e) >> (2 * (i) + (l))) & 1)
#define has_sealed(e, i) (!h[i].on || said_seal(e, i, h[i].life))

#if defined(CUT_AND_SHIFTED) /* all draw what table 2 grants */
#define GOAL (h[0].epoch == 2 && h[1].epoch == 2 && h[2].epoch == 2 && h[0].open && h[2].open                         \
    && h[1].p == granted(2, 1) && worst(0) + worst(1) + worst(2) == budget(2))
#elif defined(GIFT_AFTER_CUT)
#define GOAL (completed == 2 && h[2].epoch == 2 && h[2].taken > 0 && h[2].p > granted(2, 2))
#elif defined(NEW_LIFE_GRANTED) /* a table that names it gives it what died with the old one */
#define GOAL (h[1].life == 1 && h[1].epoch == 2 && h[1].taken == 0 && h[1].p == granted(2, 1))
#elif defined(OPENED_WHILE_OFF) /* by a certificate */
#define GOAL (is_opened(2) && !said_seal(2, 1, 0) && !said_seal(2, 1, 1))
#elif defined(BACK_BEHIND_ITS_SEAL) /* it sealed, died, joined the old epoch, and was given watts there */
#define GOAL (said_seal(2, 2, 0) && h[2].life == 1 && h[2].epoch == 1 && h[2].p > F)
#elif defined(TABLE_SKIPPED) /* the third table is opened, the second never was */
#define GOAL (is_opened(3) && !is_opened(2))
#elif defined(TABLE_AFTER_TABLE)
#define GOAL (is_opened(3) && is_opened(2) && h[0].p == granted(3, 0))
#else
#define GOAL false
#endif

inline look() {
  k = completed + 1;
  do
  :: k <= tables ->
     if
     :: has_sealed(k, 0) && has_sealed(k, 1) && has_sealed(k, 2) -> completed = k
     :: else
     fi;
     k++
  :: else -> break
  od;
  assert(worst(0) + worst(1) + worst(2) <= budget(completed));
  assert(!(GOAL))
}

#define known(j) (h[j].on -> h[j].life : 0) /* the last life of a host that others may have heard of */

/* --- What nobody will ever read is not kept, unless a rule is broken by which somebody does --- */

#if defined(ALL_KEPT) || defined(ANY_EPOCH) || defined(ANY_LIFE) || defined(DISK_KEPT)
#define will_read(j, e) true
#define forget_totals(j, until) skip
#else
/* Nor will a life that has ended read its totals, nor a host in a later epoch those of an earlier one. */
#define will_read(j, e) (h[j].on && h[j].epoch <= e)
inline forget_totals(j, until) {
  k = 0;
  do
  :: k < 6 * (until) -> set_total(gave_[k], j, h[j].life, 0); k++
  :: else -> break
  od
}
#endif

#if defined(ALL_KEPT) || defined(ONE_WAVE) || defined(OLD_LIFE_ENOUGH) || defined(LATER_SEAL_ENOUGH)
#define will_sign(e, i, l, roll) true
#define forget_rolls(i, until) skip
#else
/* A roll is void when a life that it names has ended, or is in a later epoch, and has not countersigned it. */
#define will_sign(e, i, l, roll) (l == 2 || (signs(e, i) & roll) || h[i].life == l && h[i].epoch <= e)
#define NAMES(i, l) (i == 0 -> OFF_0 >> (2 - l) : (i == 1 -> OFF_1 >> (6 - 3 * l) : OFF_2 >> (18 - 9 * l)))
inline forget_rolls(i, until) {
  k = 2;
  do
  :: k <= until ->
     lost = NAMES(i, h[i].life) & ~signs(k, i);
     signs(k, 0) = signs(k, 0) & ~lost; signs(k, 1) = signs(k, 1) & ~lost; signs(k, 2) = signs(k, 2) & ~lost;
     certified(k) = certified(k) & ~lost;
     k++
  :: else -> break
  od
}
#endif

/* --- Rule 2: the reserve stays; rule 5: lower, store, speak --- */

#ifdef RESERVE_GIVEN
#define KEPT 0
#else
#define KEPT F
#endif
#ifdef TRADES_SEALED /* rule 7 */
#define trades(i) (h[i].on && h[i].epoch > 0)
#else
#define trades(i) (h[i].on && h[i].open)
#endif
#define may_give(i) (trades(i) && gives < GIVES && h[i].rights > KEPT)
#define LOWER(i) d_step { may_give(i) && h[i].p == h[i].rights && h[i].p > 0 -> h[i].p = h[i].p - 1; look() }

#ifdef NOT_LOWERED
#define lowered(i, to) true
#else
#define lowered(i, to) (h[i].p <= to)
#endif
inline speak(i, j) {
  if
  :: will_read(j, h[i].epoch) ->
     n = total(gave(h[i].epoch, i, h[i].life), j, known(j)) + 1;
     set_total(gave(h[i].epoch, i, h[i].life), j, known(j), n)
  :: else
  fi;
  gives++
}
#define GIVE(i, j) d_step { may_give(i) && lowered(i, h[i].rights - 1) ->                                              \
    speak(i, j); h[i].rights = h[i].rights - 1; look() }
/* It speaks first, crashes, and goes on with what is on its disk. */
#define GIVE_UNSTORED(i, j) d_step { may_give(i) && lowered(i, h[i].rights - 1) -> speak(i, j); look() }

/* --- Rule 6: of what was said to this life in this epoch take the maximum, store, then raise --- */

#ifdef ADDED
#define is_news(i, j, x, heard) (h[i].rights < 6)
#define credit(i, j, x, heard) h[i].rights = h[i].rights + heard
#else
#define is_news(i, j, x, heard) (heard > total(h[i].taken, j, x))
#define credit(i, j, x, heard) h[i].rights = h[i].rights + heard - total(h[i].taken, j, x);                           \
    set_total(h[i].taken, j, x, heard)
#endif
/* Any total that was ever said may be the last that was heard: 1, 2 or 3, up to what was said. */
#define TAKE_N(i, j, x, e, l, heard) :: d_step {                                                                      \
    trades(i) && total(gave(e, j, x), i, l) >= heard && is_news(i, j, x, heard) -> credit(i, j, x, heard); look() }
#define TAKE_X(i, j, x, e, l) TAKE_N(i, j, x, e, l, 1) TAKE_N(i, j, x, e, l, 2) TAKE_N(i, j, x, e, l, 3)
#define TAKE_FROM(i, j, e, l) TAKE_X(i, j, 0, e, l) TAKE_X(i, j, 1, e, l)
#if defined(ANY_EPOCH)
#define TAKE(i, j) TAKE_FROM(i, j, 1, h[i].life) TAKE_FROM(i, j, 2, h[i].life)
#elif defined(ANY_LIFE)
#define TAKE(i, j) TAKE_FROM(i, j, h[i].epoch, 0) TAKE_FROM(i, j, h[i].epoch, 1)
#else
#define TAKE(i, j) TAKE_FROM(i, j, h[i].epoch, h[i].life)
#endif

#define RAISE(i) d_step { trades(i) && h[i].p < h[i].rights -> h[i].p = h[i].rights; look() }

/* --- Rule 4: a life ends; what comes back is in no epoch and has its reserve --- */

#ifdef DISK_KEPT
#define new_life(i) skip
#else
#define new_life(i) h[i].epoch = 0; h[i].open = 0; h[i].rights = F; h[i].taken = 0
#endif
#define DIE(i) d_step { h[i].on && h[i].life == 0 && deaths < DEATHS ->                                               \
    forget_totals(i, LAST); forget_rolls(i, LAST); new_life(i);                                                       \
    h[i].on = 0; h[i].life = 1; h[i].p = F; deaths++; look() }
#define BOOT(i) d_step { !h[i].on -> h[i].on = 1; look() }

/* --- Rule 7: seal, countersign, open --- */

/* The site may know an older life of each host than the present one. */
#define SIGN(a, b, c) d_step { tables < LAST && a <= known(0) && b <= known(1) && c <= known(2) ->                    \
    tables++; named(tables) = a + 2 * b + 4 * c; look() }

#define table_names(i, e) (e == 1 -> h[i].life == 0 : ((named(e) >> i) & 1) == h[i].life)
#if defined(GRANTED_AGAIN) /* rule 4: after a death, in the epoch that it was in */
#define is_named(i, e) (e == 1 || table_names(i, e))
#elif defined(GRANTED_TO_ANY) /* in the next */
#define is_named(i, e) (e > 1 || table_names(i, e))
#else
#define is_named(i, e) table_names(i, e)
#endif
#define entitled(i, e) (is_named(i, e) -> granted(e, i) : F)
#ifdef RAISED_ON_SEAL
#define kept(i, e) entitled(i, e)
#define sealing(i) h[i].p = h[i].rights
#else
#define kept(i, e) (h[i].rights < entitled(i, e) -> h[i].rights : entitled(i, e))
#define sealing(i) skip
#endif
#ifdef SEALED_UNLOWERED
#define lowered_for(i, e) true
#else
#define lowered_for(i, e) lowered(i, kept(i, e))
#endif
#define may_seal(i, e) (h[i].on && tables >= e && h[i].epoch < e)
#define LOWER_FOR(i, e) d_step { may_seal(i, e) && h[i].p > kept(i, e) -> h[i].p = kept(i, e); look() }
#define SEAL(i, e) d_step { may_seal(i, e) && lowered_for(i, e) ->                                                    \
    h[i].rights = kept(i, e); sealing(i); h[i].epoch = e; h[i].open = 0; h[i].taken = 0;                              \
    forget_totals(i, e - 1); forget_rolls(i, e - 1);                                                                  \
    if                                                                                                                \
    :: e > 1 -> sealed(e) = sealed(e) | (1 << (2 * i + h[i].life))                                                    \
    :: else                                                                                                           \
    fi;                                                                                                               \
    look() }

#define is_off(a, b, c) ((a) == 2 || (b) == 2 || (c) == 2)
#if defined(OLD_LIFE_ENOUGH) /* that a life has ended is taken for its seal */
#define seal_heard(e, i, l) (l == 2 || said_seal(e, i, l) || h[i].life > l)
#elif defined(LATER_SEAL_ENOUGH) /* so is a seal of a later epoch */
#define seal_heard(e, i, l) (l == 2 || said_seal(e, i, l) || said_seal(LAST, i, l))
#else
#define seal_heard(e, i, l) (l == 2 || said_seal(e, i, l))
#endif
#define seals_heard(e, a, b, c) (seal_heard(e, 0, a) && seal_heard(e, 1, b) && seal_heard(e, 2, c))
#ifdef OFF_EARLY /* who is off counts before the others have sealed */
#define after_seals(e, a, b, c) true
#else
#define after_seals(e, a, b, c) seals_heard(e, a, b, c)
#endif
/* When an epoch is open somewhere, hearsay opens it everywhere: then rolls are no longer read, and not kept. */
#define all_will_sign(e, a, b, c) (will_sign(e, 0, a, ROLL(a, b, c)) && will_sign(e, 1, b, ROLL(a, b, c))             \
    && will_sign(e, 2, c, ROLL(a, b, c)))

/* At one instant the power role sees that all are off of whom it writes so. */
#define CERTIFY(e, a, b, c) d_step { tables >= e && !is_opened(e) && !(certified(e) & ROLL(a, b, c))                 \
    && (a < 2 || !h[0].on) && (b < 2 || !h[1].on) && (c < 2 || !h[2].on) && after_seals(e, a, b, c)                   \
    && all_will_sign(e, a, b, c) ->                                                                                   \
    certified(e) = certified(e) | ROLL(a, b, c) }

#define COUNTERSIGN(i, own, a, b, c) d_step { h[i].on && h[i].epoch > 1 && !h[i].open && h[i].life == own             \
    && !is_opened(h[i].epoch) && !(signs(h[i].epoch, i) & ROLL(a, b, c)) && seals_heard(h[i].epoch, a, b, c)          \
    && (!is_off(a, b, c) || (certified(h[i].epoch) & ROLL(a, b, c))) && all_will_sign(h[i].epoch, a, b, c) ->         \
    signs(h[i].epoch, i) = signs(h[i].epoch, i) | ROLL(a, b, c) }

#if defined(OPENED_ALONE)
#define agreed(e) true
#elif defined(OLD_LIFE_ENOUGH)
#define ended(i, mask) (h[i].life > 0 -> SOMEONE_ON : mask)
#define agreed(e) ((signs(e, 0) | ended(0, OFF_0)) & (signs(e, 1) | ended(1, OFF_1)) & (signs(e, 2) | ended(2, OFF_2)) \
    & SOMEONE_ON)
#elif defined(LATER_SEAL_ENOUGH)
#define later(i, mask) (h[i].epoch > 2 -> SOMEONE_ON : mask)
#define agreed(e) ((signs(e, 0) | later(0, OFF_0)) & (signs(e, 1) | later(1, OFF_1)) & (signs(e, 2) | later(2, OFF_2)) \
    & SOMEONE_ON)
#elif defined(ONE_WAVE) /* the countersignature of one is enough */
#define agreed(e) ((signs(e, 0) | signs(e, 1) | signs(e, 2)) & SOMEONE_ON)
#else
#define agreed(e) ((signs(e, 0) | OFF_0) & (signs(e, 1) | OFF_1) & (signs(e, 2) | OFF_2) & SOMEONE_ON)
#endif
#define OPEN(i) d_step { h[i].on && h[i].epoch > 0 && !h[i].open && (is_opened(h[i].epoch) || agreed(h[i].epoch)) ->  \
    h[i].open = 1; h[i].rights = (is_named(i, h[i].epoch) -> granted(h[i].epoch, i) : h[i].rights);                   \
    if                                                                                                                \
    :: h[i].epoch > 1 -> opened = opened | (1 << h[i].epoch); certified(h[i].epoch) = 0;                              \
       signs(h[i].epoch, 0) = 0; signs(h[i].epoch, 1) = 0; signs(h[i].epoch, 2) = 0                                   \
    :: else                                                                                                           \
    fi;                                                                                                               \
    look() }

/* --- All that may happen --- */

#define EACH(ACT) :: ACT(0) :: ACT(1) :: ACT(2)
#define EACH_FOR(ACT, e) :: ACT(0, e) :: ACT(1, e) :: ACT(2, e)
#define PAIRS(ACT) :: ACT(0, 1) :: ACT(0, 2) :: ACT(1, 0) :: ACT(1, 2) :: ACT(2, 0) :: ACT(2, 1)
#define SIGNS(a) :: SIGN(a, 0, 0) :: SIGN(a, 0, 1) :: SIGN(a, 1, 0) :: SIGN(a, 1, 1)
#define SEEN(a, b, c) :: COUNTERSIGN(0, a, a, b, c) :: COUNTERSIGN(1, b, a, b, c) :: COUNTERSIGN(2, c, a, b, c)
#define SEEN_3(a, b) SEEN(a, b, 0) SEEN(a, b, 1) SEEN(a, b, 2)
#define SEEN_9(a) SEEN_3(a, 0) SEEN_3(a, 1) SEEN_3(a, 2)
#define OFF_IN(e, x, y) :: CERTIFY(e, 2, x, y) :: CERTIFY(e, x, 2, y) :: CERTIFY(e, x, y, 2)
#define OFFS_1(e) OFF_IN(e, 0, 0) OFF_IN(e, 0, 1) OFF_IN(e, 1, 0) OFF_IN(e, 1, 1)
#define OFFS_2(e, x) :: CERTIFY(e, 2, 2, x) :: CERTIFY(e, 2, x, 2) :: CERTIFY(e, x, 2, 2)
#define OFFS(e) OFFS_1(e) OFFS_2(e, 0) OFFS_2(e, 1)

init {
  d_step {
    h[0].on = 1; h[0].epoch = 1; h[0].open = 1; h[0].rights = granted(1, 0); h[0].p = granted(1, 0);
    h[1].on = 1; h[1].epoch = 1; h[1].open = 1; h[1].rights = granted(1, 1); h[1].p = granted(1, 1);
    h[2].on = 1; h[2].epoch = 1; h[2].open = 1; h[2].rights = granted(1, 2); h[2].p = granted(1, 2)
  }
end:
  do
  EACH(LOWER)
  PAIRS(GIVE)
#ifdef UNSTORED
  PAIRS(GIVE_UNSTORED)
#endif
  TAKE(0, 1) TAKE(0, 2) TAKE(1, 0) TAKE(1, 2) TAKE(2, 0) TAKE(2, 1)
  EACH(RAISE)
  EACH(DIE)
  EACH(BOOT)
  SIGNS(0) SIGNS(1)
  EACH_FOR(LOWER_FOR, 1) EACH_FOR(SEAL, 1)
  EACH_FOR(LOWER_FOR, 2) EACH_FOR(SEAL, 2)
  OFFS(2)
#if LAST > 2
  EACH_FOR(LOWER_FOR, 3) EACH_FOR(SEAL, 3)
  OFFS(3)
#endif
  SEEN_9(0) SEEN_9(1) SEEN_9(2)
  EACH(OPEN)
  od
}
