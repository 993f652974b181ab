const { Worker } = await import('node:worker_threads');
