/** The worker process: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and STRIPE_API_BASE; prints "ready" and serves until SIGTERM. */

import { NativeConnection, Runtime, DefaultLogger, Worker } from '@temporalio/worker';

import { STRIPE_QUEUE } from './contract';
import * as stripe from './stripe';

async function main(): Promise<void> {
  Runtime.install({ logger: new DefaultLogger('WARN'), shutdownSignals: ['SIGTERM', 'SIGINT'] });
  const connection = await NativeConnection.connect({ address: process.env.TEMPORAL_ADDRESS ?? '127.0.0.1:7233' });
  try {
    const worker = await Worker.create({
      connection,
      namespace: process.env.TEMPORAL_NAMESPACE ?? 'loop',
      taskQueue: STRIPE_QUEUE,
      workflowsPath: require.resolve('./workflows'),
      activities: stripe,
      shutdownGraceTime: '2 seconds',
    });
    const running = worker.run();
    console.log('ready');
    await running;
  } finally {
    await connection.close();
  }
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
