/* Loaded into a process before the program: after STRAY_MS a promise is rejected that nobody waits for. */
setTimeout(() => {
  void Promise.reject(new Error('stray https://user:hunter2@example.test/?token=hunter2'))
}, Number(process.env.STRAY_MS)).unref()
