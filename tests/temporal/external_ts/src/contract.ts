/** The wire contract as a worker in another language sees it: queues, names and plain camelCase JSON. */

export const BACKEND_QUEUE = 'backend-operations';
export const STRIPE_QUEUE = 'stripe-payments';

export interface PaymentInput {
  orderId: string;
  merchantId: string;
  amount: number;
  currency: string;
  captureMethod: 'automatic' | 'manual';
  returnUrl: string | null;
  processor: string;
  paymentMethod: { type: string; token?: string | null } | null;
  attempt: number;
}

export interface RefundInput {
  refundId: string;
  orderId: string;
  merchantId: string;
  processor: string;
  transactionId: string | null;
  amount: number;
  reason: string | null;
}

export interface PaymentResult {
  success: boolean;
  status: string;
  processorOrderId: string | null;
  processorTransactionId: string | null;
  errorCode: string | null;
  errorMessage: string | null;
}

export interface RefundResult {
  success: boolean;
  status: string;
  processorRefundId: string | null;
  errorCode: string | null;
  errorMessage: string | null;
}

/** Payload of the signal completePayment: what an event of the processor said. */
export interface CompletePayment {
  success: boolean;
  processorTransactionId: string | null;
  eventId: string;
  errorCode?: string;
  errorMessage?: string;
}

export interface ProcessorConfig {
  merchantId: string;
  processor: string;
  testMode: boolean;
  credentials: { secretKey: string };
}

export interface Order {
  id: string;
  externalId: string;
  amount: number;
  currency: string;
  status: string;
}

/** The activities that PayLoops hosts on backend-operations. */
export interface Backend {
  getProcessorConfig(told: { merchantId: string; processor: string }): Promise<ProcessorConfig | null>;
  getOrder(told: { orderId: string }): Promise<Order>;
  updateOrderStatus(told: {
    orderId: string;
    status: string;
    processorOrderId?: string;
    processorTransactionId?: string;
    errorCode?: string;
    errorMessage?: string;
  }): Promise<null>;
  updateRefundStatus(told: {
    refundId: string;
    orderId: string;
    status: 'pending' | 'success' | 'failed';
    processorRefundId?: string;
    errorCode?: string;
  }): Promise<null>;
  createWebhookEvent(told: {
    merchantId: string;
    orderId: string;
    eventType: string;
    payload: Record<string, unknown>;
  }): Promise<string>;
}
