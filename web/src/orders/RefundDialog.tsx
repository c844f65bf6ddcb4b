/** Give back all or a part of what an order took. */

import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";
import Modal from "react-bootstrap/Modal";
import type { Order } from "../api/client";
import { useToast } from "../app/toasts";
import { formatMoney } from "../ui/format";
import { Failure } from "../ui/states";
import { refundOrder } from "./orders";

export function RefundDialog({ order, onClose }: { order: Order; onClose: () => void }) {
  const left = Math.round((order.total - order.refunded) * 100) / 100;
  const [amount, setAmount] = useState(String(left));
  const [reason, setReason] = useState("");
  const [restock, setRestock] = useState(true);
  const [key] = useState(() => `web-${order.id}-${crypto.getRandomValues(new Uint32Array(3)).join("")}`);
  const id = useId();
  const say = useToast();
  const isWhole = Number(amount) === left && order.refunded === 0;
  const refund = useMutation({
    mutationFn: () => refundOrder(order.id, isWhole ? null : Number(amount), reason, isWhole && restock, key),
    onSuccess: () => {
      say(`${formatMoney(Number(amount), order.currency)} are on their way back.`);
      onClose();
    },
  });
  return (
    <Modal show onHide={onClose} aria-labelledby={`${id}-title`} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          refund.mutate();
        }}
      >
        <Modal.Header closeButton>
          <Modal.Title as="h2" id={`${id}-title`}>
            Refund order #{order.id}
          </Modal.Title>
        </Modal.Header>
        <Modal.Body className="d-grid gap-3">
          <div>
            <label className="form-label" htmlFor={`${id}-amount`}>
              Amount, at most {formatMoney(left, order.currency)}
            </label>
            <input id={`${id}-amount`} className="form-control num" type="number" step="0.01" min="0.01" max={left} required value={amount} onChange={(event) => setAmount(event.target.value)} />
          </div>
          <div>
            <label className="form-label" htmlFor={`${id}-reason`}>
              Reason
            </label>
            <input id={`${id}-reason`} className="form-control" maxLength={200} value={reason} onChange={(event) => setReason(event.target.value)} />
          </div>
          {isWhole && (
            <label className="form-check">
              <input type="checkbox" className="form-check-input" checked={restock} onChange={(event) => setRestock(event.target.checked)} />
              Put the goods back in stock
            </label>
          )}
          {refund.error && <Failure error={refund.error} />}
        </Modal.Body>
        <Modal.Footer>
          <button type="button" className="btn btn-outline-secondary" onClick={onClose}>
            Keep the money
          </button>
          <button type="submit" className="btn btn-danger" disabled={refund.isPending}>
            Refund
          </button>
        </Modal.Footer>
      </form>
    </Modal>
  );
}
