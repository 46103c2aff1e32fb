// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {
    IAddressesProvider,
    ILiquidityPool,
    IMorpho,
    IPermitToken,
    IPool,
    IPriceOracle,
    ISwapRouter,
    IToken,
    IWeth,
    IWrappedEeth
} from "./GroupInterfaces.sol";

/// Turns flash-lent WETH into a levered staking position of whoever asked for the loan, or such a position back into
/// WETH, in one transaction.
///
/// It owns nothing and remembers nothing: it acts only for the initiator that the lender names, takes only from that
/// address, deals only with the contracts fixed at deployment, allows exactly what is used and hands back whatever is
/// left. The bounds of the caller are checked before the transaction can end; anything else reverts.
/// Attacked by tests/contracts on real Aave; not audited.
contract GroupReceiver {
    enum Route {
        LIDO,
        ETHERFI,
        SWAP
    }

    /// `deadline` unix seconds; `healthFactorMin` and `ltvMax` 1e18 = 1, ltv being debt over collateral at Aave's
    /// oracle; `debtMax` wei of variable WETH debt. All are of the state after the transaction.
    struct Bounds {
        uint256 deadline;
        uint256 healthFactorMin;
        uint256 ltvMax;
        uint256 debtMax;
    }

    /// `own` wei of WETH are taken from the initiator beside the loan; at least `lstMin` wei of `lst` must come out.
    struct Entry {
        address lst;
        Route route;
        uint24 poolFee;
        uint256 own;
        uint256 lstMin;
        Bounds bounds;
    }

    /// An EIP-2612 permit of the aToken; `v` 0 for an allowance that stands already.
    struct Permit {
        uint256 value;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// Wei: `repay` of WETH debt, `withdraw` and `sell` of `lst`, each the largest uint256 for all of it; the sale brings
    /// at least `wethMin`.
    struct Exit {
        address lst;
        uint24 poolFee;
        uint256 repay;
        uint256 withdraw;
        uint256 sell;
        uint256 wethMin;
        Permit permit;
        Bounds bounds;
    }

    error CallerNotAllowed(address caller);
    error Reentered();
    error LoanNotWeth(address asset);
    error CollateralNotAllowed(address lst);
    error DeadlinePassed(uint256 timestamp, uint256 deadline);
    error OutBelowMinimum(address token, uint256 received, uint256 minimum);
    error LoanBelowDebt(uint256 loan, uint256 debt);
    error LoanUnderpaid(uint256 available, uint256 owed);
    error HealthFactorBelowMinimum(uint256 healthFactor, uint256 minimum);
    error LtvAboveMaximum(uint256 ltv, uint256 maximum);
    error DebtAboveMaximum(uint256 debt, uint256 maximum);
    error ResidueLeft(address token, uint256 amount);
    error TokenRefused(address token);
    error LenderAbsent();

    uint256 private constant ALL = type(uint256).max;
    uint256 private constant WAD = 1e18;
    uint256 private constant VARIABLE_RATE = 2;
    /// Aave rounds scaled debt up twice: after a borrow the balance can exceed the sum by this many wei.
    uint256 private constant DEBT_ROUNDING = 2;
    /// What a share token may keep when less than one share of it is left.
    uint256 private constant SHARE_DUST = 2;

    uint256 private constant IDLE = 0;
    uint256 private constant BUSY = 1;
    uint256 private constant AWAITING_MORPHO = 2;

    address public immutable POOL;
    address public immutable PROVIDER;
    address public immutable WETH;
    address public immutable DEBT;
    address public immutable ROUTER;
    address public immutable MORPHO;
    address public immutable WSTETH;
    address public immutable LIQUIDITY_POOL;
    address public immutable EETH;
    address public immutable WEETH;

    /// `morpho` may be zero where there is none.
    constructor(
        address pool,
        address weth,
        address router,
        address morpho,
        address wsteth,
        address liquidityPool,
        address eeth,
        address weeth
    ) {
        POOL = pool;
        PROVIDER = IPool(pool).ADDRESSES_PROVIDER();
        WETH = weth;
        DEBT = IPool(pool).getReserveVariableDebtToken(weth);
        ROUTER = router;
        MORPHO = morpho;
        WSTETH = wsteth;
        LIQUIDITY_POOL = liquidityPool;
        EETH = eeth;
        WEETH = weeth;
    }

    /// Only what WETH pays out on unwrapping.
    receive() external payable {
        if (msg.sender != WETH) revert CallerNotAllowed(msg.sender);
    }

    /// Callback of `Pool.flashLoan`: the entry. The loan stays as variable debt of the initiator (mode 2): there is
    /// nothing here to pay it back with in any other mode.
    function executeOperation(
        address[] calldata assets,
        uint256[] calldata amounts,
        uint256[] calldata,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        if (msg.sender != POOL) revert CallerNotAllowed(msg.sender);
        if (assets.length != 1) revert LoanNotWeth(address(0));
        if (assets[0] != WETH) revert LoanNotWeth(assets[0]);
        _enter(IDLE, BUSY);
        _lever(initiator, amounts[0], abi.decode(params, (Entry)));
        _enter(BUSY, IDLE);
        return true;
    }

    /// Callback of `Pool.flashLoanSimple`: de-lever or exit.
    function executeOperation(
        address asset,
        uint256 amount,
        uint256 premium,
        address initiator,
        bytes calldata params
    ) external returns (bool) {
        if (msg.sender != POOL) revert CallerNotAllowed(msg.sender);
        if (asset != WETH) revert LoanNotWeth(asset);
        _enter(IDLE, BUSY);
        _unwind(initiator, amount, amount + premium, POOL, abi.decode(params, (Exit)));
        _enter(BUSY, IDLE);
        return true;
    }

    /// De-lever or exit of the caller with a loan of Morpho, which lends to its caller only and takes no fee.
    function unwindThroughMorpho(uint256 amount, Exit calldata plan) external {
        if (MORPHO == address(0)) revert LenderAbsent();
        _enter(IDLE, AWAITING_MORPHO);
        IMorpho(MORPHO).flashLoan(WETH, amount, abi.encode(msg.sender, plan));
        _enter(BUSY, IDLE);
    }

    /// Morpho calls back whoever called it, so what comes here was written by `unwindThroughMorpho`.
    function onMorphoFlashLoan(uint256 amount, bytes calldata data) external {
        if (msg.sender != MORPHO) revert CallerNotAllowed(msg.sender);
        _enter(AWAITING_MORPHO, BUSY);
        (address initiator, Exit memory plan) = abi.decode(data, (address, Exit));
        _unwind(initiator, amount, amount, MORPHO, plan);
    }

    function _lever(address initiator, uint256 amount, Entry memory plan) private {
        _checkStart(plan.lst, plan.bounds.deadline);
        if (plan.own != 0) _pull(WETH, initiator, plan.own);
        if (plan.route == Route.SWAP) {
            _swap(WETH, plan.lst, plan.poolFee, IToken(WETH).balanceOf(address(this)), plan.lstMin, plan.bounds.deadline);
        } else {
            _stake(plan.lst, plan.route);
        }
        uint256 received = IToken(plan.lst).balanceOf(address(this));
        if (received < plan.lstMin) revert OutBelowMinimum(plan.lst, received, plan.lstMin);
        _approve(plan.lst, POOL, received);
        IPool(POOL).supply(plan.lst, received, initiator, 0);
        _handBack(initiator, plan.lst, 0);
        _checkBounds(initiator, amount, plan.bounds);
    }

    function _stake(address lst, Route route) private {
        IWeth(WETH).withdraw(IToken(WETH).balanceOf(address(this)));
        if (route == Route.LIDO) {
            if (lst != WSTETH) revert CollateralNotAllowed(lst);
            _call(WSTETH, address(this).balance, "");
            return;
        }
        if (lst != WEETH) revert CollateralNotAllowed(lst);
        ILiquidityPool(LIQUIDITY_POOL).deposit{value: address(this).balance}();
        uint256 amount = IToken(EETH).balanceOf(address(this));
        _approve(EETH, WEETH, amount);
        IWrappedEeth(WEETH).wrap(amount);
        uint256 dust = IToken(EETH).balanceOf(address(this));
        if (dust > SHARE_DUST) revert ResidueLeft(EETH, dust);
    }

    function _unwind(address initiator, uint256 amount, uint256 owed, address lender, Exit memory plan) private {
        _checkStart(plan.lst, plan.bounds.deadline);
        _repay(initiator, amount, plan.repay);
        _withdraw(initiator, plan);
        uint256 sell = plan.sell == ALL ? IToken(plan.lst).balanceOf(address(this)) : plan.sell;
        if (sell != 0) _swap(plan.lst, WETH, plan.poolFee, sell, plan.wethMin, plan.bounds.deadline);
        _handBack(initiator, plan.lst, owed);
        _checkBounds(initiator, 0, plan.bounds);
        _approve(WETH, lender, owed);
    }

    function _repay(address initiator, uint256 loan, uint256 wanted) private {
        uint256 debt = IToken(DEBT).balanceOf(initiator);
        uint256 amount = wanted < debt ? wanted : debt;
        if (amount > loan) revert LoanBelowDebt(loan, amount);
        if (amount == 0) return;
        _approve(WETH, POOL, amount);
        IPool(POOL).repay(WETH, amount, VARIABLE_RATE, initiator);
    }

    function _withdraw(address initiator, Exit memory plan) private {
        address aToken = IPool(POOL).getReserveAToken(plan.lst);
        Permit memory permit = plan.permit;
        if (permit.v != 0) {
            // Whoever saw the signature may have used it already: then the allowance stands, and only that matters.
            try IPermitToken(aToken).permit(
                initiator, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s
            ) {} catch {}
        }
        uint256 amount = plan.withdraw == ALL ? IToken(aToken).balanceOf(initiator) : plan.withdraw;
        if (amount == 0) return;
        _pull(aToken, initiator, amount);
        IPool(POOL).withdraw(plan.lst, ALL, address(this));
    }

    function _swap(address tokenIn, address tokenOut, uint24 fee, uint256 amount, uint256 minimum, uint256 deadline)
        private
    {
        uint256 before = IToken(tokenOut).balanceOf(address(this));
        _approve(tokenIn, ROUTER, amount);
        ISwapRouter(ROUTER).exactInputSingle(
            ISwapRouter.ExactInputSingleParams(tokenIn, tokenOut, fee, address(this), deadline, amount, minimum, 0)
        );
        uint256 received = IToken(tokenOut).balanceOf(address(this)) - before;
        if (received < minimum) revert OutBelowMinimum(tokenOut, received, minimum);
        // A pool that runs dry takes less than it was offered.
        if (IToken(tokenIn).allowance(address(this), ROUTER) != 0) _approve(tokenIn, ROUTER, 0);
    }

    /// Everything above what the lender takes goes to the initiator, also what a stranger sent here.
    function _handBack(address initiator, address lst, uint256 owed) private {
        if (address(this).balance != 0) IWeth(WETH).deposit{value: address(this).balance}();
        uint256 weth = IToken(WETH).balanceOf(address(this));
        if (weth < owed) revert LoanUnderpaid(weth, owed);
        if (weth > owed) _send(WETH, initiator, weth - owed);
        uint256 left = IToken(lst).balanceOf(address(this));
        if (left != 0) _send(lst, initiator, left);
        left = IToken(lst).balanceOf(address(this));
        if (left != 0) revert ResidueLeft(lst, left);
        weth = IToken(WETH).balanceOf(address(this));
        if (weth != owed) revert ResidueLeft(WETH, weth);
    }

    function _checkStart(address lst, uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(block.timestamp, deadline);
        if (lst != WSTETH && lst != WEETH) revert CollateralNotAllowed(lst);
    }

    /// `extra` wei of WETH become debt only after this call: figures are prospective, rounded against the caller.
    function _checkBounds(address initiator, uint256 extra, Bounds memory bounds) private view {
        (uint256 collateral, uint256 debt,, uint256 threshold,,) = IPool(POOL).getUserAccountData(initiator);
        uint256 owed = IToken(DEBT).balanceOf(initiator);
        if (extra != 0) {
            extra += DEBT_ROUNDING;
            owed += extra;
            uint256 price = IPriceOracle(IAddressesProvider(PROVIDER).getPriceOracle()).getAssetPrice(WETH);
            debt += (extra * price + WAD - 1) / WAD;
        }
        if (owed > bounds.debtMax) revert DebtAboveMaximum(owed, bounds.debtMax);
        if (debt == 0) return;
        uint256 healthFactor = collateral * threshold * 1e14 / debt;
        if (healthFactor < bounds.healthFactorMin) {
            revert HealthFactorBelowMinimum(healthFactor, bounds.healthFactorMin);
        }
        uint256 ltv = collateral == 0 ? ALL : (debt * WAD + collateral - 1) / collateral;
        if (ltv > bounds.ltvMax) revert LtvAboveMaximum(ltv, bounds.ltvMax);
    }

    /// One transaction of work at a time: nobody can come in between and take what is here for another.
    function _enter(uint256 expected, uint256 next) private {
        uint256 found;
        assembly ("memory-safe") {
            found := tload(0)
            tstore(0, next)
        }
        if (found != expected) revert Reentered();
    }

    function _pull(address token, address from, uint256 amount) private {
        _tokenCall(token, abi.encodeWithSignature("transferFrom(address,address,uint256)", from, address(this), amount));
    }

    function _send(address token, address to, uint256 amount) private {
        _tokenCall(token, abi.encodeWithSignature("transfer(address,uint256)", to, amount));
    }

    function _approve(address token, address spender, uint256 amount) private {
        _tokenCall(token, abi.encodeWithSignature("approve(address,uint256)", spender, amount));
    }

    /// Tokens answer true, or nothing at all.
    function _tokenCall(address token, bytes memory data) private {
        bytes memory answer = _call(token, 0, data);
        if (answer.length != 0 && (answer.length < 32 || !abi.decode(answer, (bool)))) revert TokenRefused(token);
    }

    /// A failure is handed on in the words of the contract that failed.
    function _call(address target, uint256 value, bytes memory data) private returns (bytes memory answer) {
        bool done;
        (done, answer) = target.call{value: value}(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }
}
