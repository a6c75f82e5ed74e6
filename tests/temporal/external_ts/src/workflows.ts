/** The workflows of stripe-payments, as their owner may write them: PayLoops starts them and hosts the activities. */

import { condition, defineSignal, proxyActivities, setHandler } from '@temporalio/workflow';

import type { Backend, CompletePayment, PaymentInput, PaymentResult, RefundInput, RefundResult } from './contract';
import type * as stripeActivities from './stripe';

const retry = { initialInterval: '200 milliseconds', maximumInterval: '5 seconds', maximumAttempts: 20 } as const;
const backend = proxyActivities<Backend>({ taskQueue: 'backend-operations', startToCloseTimeout: '30 seconds', retry });
const stripe = proxyActivities<typeof stripeActivities>({ startToCloseTimeout: '20 seconds', retry });

export const completePayment = defineSignal<[CompletePayment]>('completePayment');
export const cancelPayment = defineSignal<[Record<string, never>]>('cancelPayment');

const STATUS_OF_INTENT: Record<string, string> = {
  succeeded: 'captured',
  requires_capture: 'authorized',
  requires_action: 'requires_action',
  processing: 'processing',
  canceled: 'cancelled',
  failed: 'failed',
};

export async function PaymentWorkflow(input: PaymentInput): Promise<PaymentResult> {
  let completed: CompletePayment | undefined;
  let cancelled = false;
  setHandler(completePayment, (told) => void (completed ??= told));
  setHandler(cancelPayment, () => void (cancelled = true));

  const config = await backend.getProcessorConfig({ merchantId: input.merchantId, processor: input.processor });
  if (config === null) return finish(input, 'failed', null, 'not_configured', 'The merchant has no Stripe account.');
  const { secretKey } = config.credentials;

  let intent = await stripe.createIntent({
    secretKey,
    orderId: input.orderId,
    merchantId: input.merchantId,
    amount: input.amount,
    currency: input.currency,
    captureMethod: input.captureMethod,
    returnUrl: input.returnUrl,
    token: input.paymentMethod?.token ?? 'pm_card_visa',
    attempt: input.attempt,
  });
  if (intent.status === 'requires_action') {
    await report(input, 'requires_action', intent.id);
    await condition(() => completed !== undefined || cancelled, '15 minutes');
    // What an event said is not believed before the processor was asked.
    intent = await stripe.getIntent({ secretKey, id: intent.id });
    if (cancelled || intent.status === 'requires_action') {
      return finish(input, 'cancelled', intent.id, null, null);
    }
    if (intent.status === 'requires_payment_method') {
      return finish(input, 'failed', intent.id, completed?.errorCode ?? 'authentication_failed', null);
    }
  }
  const status = STATUS_OF_INTENT[intent.status] ?? 'failed';
  return finish(input, status, intent.id, intent.errorCode, intent.errorMessage);
}

export async function RefundWorkflow(input: RefundInput): Promise<RefundResult> {
  const config = await backend.getProcessorConfig({ merchantId: input.merchantId, processor: input.processor });
  const { refundId, orderId } = input;
  if (config === null || input.transactionId === null) {
    await backend.updateRefundStatus({ refundId, orderId, status: 'failed', errorCode: 'not_configured' });
    return { success: false, status: 'failed', processorRefundId: null, errorCode: 'not_configured', errorMessage: null };
  }
  const made = await stripe.createRefund({
    secretKey: config.credentials.secretKey,
    refundId,
    orderId,
    intentId: input.transactionId,
    amount: input.amount,
  });
  const status = made.status === 'succeeded' ? 'success' : made.status === 'failed' ? 'failed' : 'pending';
  await backend.updateRefundStatus({ refundId, orderId, status, processorRefundId: made.id });
  return {
    success: status === 'success',
    status,
    processorRefundId: made.id,
    errorCode: null,
    errorMessage: null,
  };
}

async function report(input: PaymentInput, status: string, intentId: string | null): Promise<void> {
  await backend.updateOrderStatus({
    orderId: input.orderId,
    status,
    ...(intentId === null ? {} : { processorOrderId: intentId, processorTransactionId: intentId }),
  });
}

async function finish(
  input: PaymentInput,
  status: string,
  intentId: string | null,
  errorCode: string | null,
  errorMessage: string | null,
): Promise<PaymentResult> {
  await backend.updateOrderStatus({
    orderId: input.orderId,
    status,
    ...(intentId === null ? {} : { processorOrderId: intentId, processorTransactionId: intentId }),
    ...(errorCode === null ? {} : { errorCode }),
    ...(errorMessage === null ? {} : { errorMessage }),
  });
  const order = await backend.getOrder({ orderId: input.orderId });
  if (status === 'captured') {
    await backend.createWebhookEvent({
      merchantId: input.merchantId,
      orderId: input.orderId,
      eventType: 'payment.captured',
      payload: { externalId: order.externalId },
    });
  }
  return {
    success: status === 'captured' || status === 'authorized',
    status: order.status,
    processorOrderId: intentId,
    processorTransactionId: intentId,
    errorCode,
    errorMessage,
  };
}
