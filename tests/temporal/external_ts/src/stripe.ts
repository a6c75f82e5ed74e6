/** The worker's own activities: Stripe over plain HTTP. Each carries an idempotency key, so that a retry is harmless. */

import { ApplicationFailure } from '@temporalio/activity';

const BASE = process.env.STRIPE_API_BASE ?? '';

export interface Intent {
  id: string;
  status: string;
  errorCode: string | null;
  errorMessage: string | null;
}

interface StripeError {
  code?: string;
  message?: string;
  payment_intent?: { id: string };
}

export async function createIntent(told: {
  secretKey: string;
  orderId: string;
  merchantId: string;
  amount: number;
  currency: string;
  captureMethod: string;
  returnUrl: string | null;
  token: string;
  attempt: number;
}): Promise<Intent> {
  const form: Record<string, string> = {
    amount: String(told.amount),
    currency: told.currency.toLowerCase(),
    capture_method: told.captureMethod,
    payment_method: told.token,
    confirm: 'true',
    'automatic_payment_methods[enabled]': 'true',
    'metadata[order_id]': told.orderId,
    'metadata[merchant_id]': told.merchantId,
    'metadata[attempt]': String(told.attempt),
  };
  if (told.returnUrl === null) form['automatic_payment_methods[allow_redirects]'] = 'never';
  else form['return_url'] = told.returnUrl;
  const key = `external-${told.orderId}-${told.attempt}`;
  return intentOf(await call(told.secretKey, 'POST', '/v1/payment_intents', form, key));
}

export async function getIntent(told: { secretKey: string; id: string }): Promise<Intent> {
  return intentOf(await call(told.secretKey, 'GET', `/v1/payment_intents/${told.id}`));
}

export async function createRefund(told: {
  secretKey: string;
  refundId: string;
  orderId: string;
  intentId: string;
  amount: number;
}): Promise<{ id: string; status: string }> {
  const form = {
    payment_intent: told.intentId,
    amount: String(told.amount),
    'metadata[refund_id]': told.refundId,
    'metadata[order_id]': told.orderId,
  };
  const { status, body } = await call(told.secretKey, 'POST', '/v1/refunds', form, `external-${told.refundId}`);
  if (status !== 200) throw ApplicationFailure.nonRetryable(`Stripe refused the refund: ${status}`, 'RefundRefused');
  return { id: body.id, status: body.status };
}

function intentOf({ status, body }: { status: number; body: any }): Intent {
  if (status === 200) return { id: body.id, status: body.status, errorCode: null, errorMessage: null };
  const error: StripeError = body.error ?? {};
  if (status !== 402 || !error.payment_intent) {
    throw ApplicationFailure.nonRetryable(`Stripe answered ${status}`, 'StripeRefused');
  }
  return {
    id: error.payment_intent.id,
    status: 'failed',
    errorCode: error.code ?? 'declined',
    errorMessage: error.message ?? null,
  };
}

async function call(
  secretKey: string,
  method: string,
  path: string,
  form?: Record<string, string>,
  idempotencyKey?: string,
): Promise<{ status: number; body: any }> {
  const headers: Record<string, string> = { Authorization: `Bearer ${secretKey}` };
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  const response = await fetch(BASE + path, {
    method,
    headers,
    body: form && new URLSearchParams(form),
    signal: AbortSignal.timeout(10_000),
  });
  if (response.status === 429 || response.status >= 500) throw new Error(`Stripe answered ${response.status}`);
  return { status: response.status, body: await response.json() };
}
