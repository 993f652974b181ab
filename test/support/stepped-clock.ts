/**
 * Preloaded into a process (`node --import`): makes its wall clock one that an admin or NTP sets. Each SIGUSR2 adds
 * the next of the steps in `CLOCK_STEPS_MS`; timers and the monotonic clock run on, as they do on a real machine.
 */
const steps = (process.env['CLOCK_STEPS_MS'] ?? '').split(',').map(Number).values();
const now = Date.now.bind(Date);
let offsetMs = 0;

Date.now = () => now() + offsetMs;

process.on('SIGUSR2', () => {
  offsetMs += steps.next().value ?? 0;
});
