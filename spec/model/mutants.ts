/** A defect put in on purpose: the model must find it. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** One break an invariant, and the three traps that the spike fell into. */
export const mutants: readonly Mutant[] = [
  {
    name: 'I1 the watermark passes an unsettled slot',
    file: 'core/window.ts',
    find: 'states[head & mask] === SETTLED',
    replace: 'states[head & mask] !== RELEASED',
  },
  {
    name: 'I2 a failed handler settles nothing',
    file: 'operators/handle.ts',
    find: 'work.delivery.fail(error, -1);',
    replace: '',
  },
  {
    name: 'I2 split settles a delivery while parts of it are out',
    file: 'operators/split.ts',
    find: 'if (!ended || tally.live > 0) return;',
    replace: 'if (!ended) return;',
  },
  {
    name: 'I2 fanOut settles a delivery with the first of its branches',
    file: 'operators/fan-out.ts',
    find: 'if (tally.live === 0) tally.conclude();',
    replace: 'if (tally.live > 0) tally.conclude();',
  },
  {
    name: 'I2 batch drops its last member',
    file: 'operators/batch.ts',
    find: '[...unsettledOf(batch), ...others]) settle(member);',
    replace: '[...unsettledOf(batch), ...others].slice(1)) settle(member);',
  },
  {
    name: 'I3 credits are not counted',
    file: 'core/pump.ts',
    find: 'maxInFlight - session.inFlight',
    replace: 'maxInFlight',
  },
  {
    name: 'I4 queued work is started during a drain',
    file: 'operators/handle.ts',
    find: 'if (!delivery.epoch.live) delivery.abandon();\n      else if',
    replace: 'if',
  },
  {
    name: 'I5 a settlement of a closed epoch counts',
    file: 'core/log-hook.ts',
    find: "if (epoch.closed) {\n      reportStale(delivery, 'closed');\n      return;\n    }\n    giveBackCredit",
    replace: 'giveBackCredit',
  },
  {
    name: 'I6 a dead letter is acked before its publish is confirmed',
    file: 'operators/dead-letter-queue.ts',
    find: 'add: (letter) => calls.add(letter)',
    replace: "add: (letter) => (letter.delivery.settle('dead-lettered'), calls.add(letter))",
  },
  {
    name: 'I7 an error in a handler goes to the stream',
    file: 'operators/handle.ts',
    find: '} catch (error) {\n      delivery.fail(error, -1);',
    replace: '} catch (error) {\n      this.destination.error(error);',
  },
  {
    name: 'I8 parked retries keep their timers on unsubscribe',
    file: 'operators/retry-to-dlq.ts',
    find: 'due.unsubscribe();',
    replace: '',
  },
  {
    name: 'I8 the watchdog wakes again after the close',
    file: 'core/pump.ts',
    find: ' && !session.closing) watch(session);',
    replace: ') watch(session);',
  },
  {
    name: 'I9 the span is not bounded',
    file: 'core/pump.ts',
    find: 'maxSpan - window.span',
    replace: 'maxSpan',
  },
  {
    name: 'I10 messages are emitted before the start position is durable',
    file: 'core/log-engine.ts',
    find: 'gate(partition);',
    replace: 'partition.session.gated++;',
  },
  {
    name: 'TRAP a new delivery takes the free slot past the queue',
    file: 'operators/handle.ts',
    find: 'if (this.starting || this.queue.length > 0 || this.running >= this.concurrency) {',
    replace: 'if (this.running >= this.concurrency) {',
  },
  {
    name: 'TRAP a result is emitted for a delivery that is settled',
    file: 'operators/handle.ts',
    find: 'if (!isSettled(delivery)) this.destination.next',
    replace: 'this.destination.next',
  },
  {
    name: 'ORDER a nacked delivery frees its lane',
    file: 'operators/ordered.ts',
    find: 'const comeback = this.comebackOf(child);',
    replace: 'const comeback = null as Comeback | null;',
  },
  {
    name: 'QUIET nobody is told',
    file: 'core/quiet.ts',
    find: 'listener.onQuiet?.(session)',
    replace: 'void listener',
  },
  {
    name: 'CLAIM an abandoned claim is not given back',
    file: 'operators/claim-book.ts',
    find: 'if (open.delete(child)) giveBack(child.epoch.session, claimOf(child));',
    replace: '',
  },
  {
    name: 'TURN what comes to a partition gives it no turn',
    file: 'core/intake.ts',
    find: 'session.givers.add(partition);',
    replace: '',
  },
  {
    name: 'TURN a settlement gives its partition no turn',
    file: 'core/partition.ts',
    find: 'session.drained.push(partition);\n  wake(partition);',
    replace: 'session.drained.push(partition);',
  },
  {
    name: 'TURN what is unblocked gives its partition no turn',
    file: 'core/units.ts',
    find: 'if (blocked < 0) wake(partition);',
    replace: '',
  },
  {
    name: 'TURN a start that is durable gives its partition no turn',
    file: 'core/assignment.ts',
    find: 'session.backlog++;\n  session.givers.add(partition);',
    replace: 'session.backlog++;',
  },
];
