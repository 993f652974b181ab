const m = () => (process.memoryUsage().rss/1e6)|0;
console.log('bare', m());
const w = process.argv[2];
const t = performance.now();
await import(w);
globalThis.gc?.();
console.log(w, m(), Math.round(performance.now()-t), 'ms');
