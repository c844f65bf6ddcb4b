/** Ask before a product goes off sale: open orders of it are refunded. */

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId } from "react";
import Modal from "react-bootstrap/Modal";
import { api, type Product, unwrap } from "../api/client";
import { keys } from "../api/keys";
import { useToast } from "../app/toasts";
import { Failure } from "../ui/states";

export function WithdrawDialog({ product, onClose }: { product: Product; onClose: () => void }) {
  const id = useId();
  const cache = useQueryClient();
  const say = useToast();
  const withdraw = useMutation({
    mutationFn: () => unwrap(api.DELETE("/products/{product_id}", { params: { path: { product_id: product.id } } })),
    onSuccess: async () => {
      say(`${product.name} is off sale.`);
      await cache.invalidateQueries({ queryKey: keys.allProductPages });
      onClose();
    },
  });
  return (
    <Modal show onHide={onClose} aria-labelledby={id} centered>
      <Modal.Header closeButton>
        <Modal.Title as="h2" id={id}>
          Withdraw {product.name}?
        </Modal.Title>
      </Modal.Header>
      <Modal.Body>
        <p className="mb-0">Nobody can order it any more. Orders that are paid and not yet on their way are refunded.</p>
        {withdraw.error && <Failure error={withdraw.error} />}
      </Modal.Body>
      <Modal.Footer>
        <button type="button" className="btn btn-outline-secondary" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="btn btn-danger" disabled={withdraw.isPending} onClick={() => withdraw.mutate()}>
          Withdraw
        </button>
      </Modal.Footer>
    </Modal>
  );
}
