/* A process that listens and takes nobody in: stopped by its parent, its queue of connections fills up and stays full. */
import { createServer } from 'node:net'

const server = createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  process.send!((server.address() as { port: number }).port)
})
